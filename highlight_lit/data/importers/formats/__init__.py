"""Files of other tools, one layout a module: each opened and read within bounds."""
