"""`python -m common.targets.aws`: the bootstrap, without collecting garbage until everything is imported.

There is none until then, and to look for it takes 15 of 250 ms.
"""

import gc
import os
import sys

if __name__ == "__main__":
    gc.disable()
    from common.targets.aws import compiled

    compiled.use()
    from common.targets.aws.bootstrap import main

    sys.exit(main(os.environ))
