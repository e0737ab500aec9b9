"""`python -m wizard`: how the wizard starts itself, whatever the PATH of a root shell holds."""

import sys

from wizard.cli import main

sys.exit(main())
