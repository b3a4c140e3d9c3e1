"""What fulfils the ports: one package or file per technology; none imports another."""
