"""Lambda on this machine: function URLs that stream, environments that freeze, and the Runtime API between them.

Imitated: one request at a time in an environment, and another environment for each more; status and headers with the
first bytes; limits of size and time; SIGSTOP between invocations; cuts where a function breaks off or is killed; that a
client's leaving is not noticed. Not imitated: processor share and memory limits, bandwidth, the deployment.
"""
