"""The lists of many runs become one."""
