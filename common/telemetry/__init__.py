"""What is told of requests besides their answers: one line of log each, without prompts, answers or secrets."""
