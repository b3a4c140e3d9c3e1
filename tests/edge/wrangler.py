"""The locked wrangler, with the Node that is installed beside us: `python -m tests.edge.wrangler deploy ...`."""

import os
import sys

from tests.edge import toolbox

if __name__ == "__main__":
    toolbox.prepare()
    os.execv(toolbox.node(), [str(toolbox.node()), str(toolbox.EDGE / toolbox.WRANGLER), *sys.argv[1:]])
