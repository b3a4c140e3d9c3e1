"""Does at import all that a Worker may not: the proof that the watch sees it."""

import random
import socket
import threading
import uuid
from contextlib import suppress

ID = uuid.uuid4()
DICE = random.choice([1, 2, 3])
OWN = random.Random()
SOCKET = socket.socket()
with suppress(RuntimeError):  # there are no threads here
    threading.Thread(target=print).start()
