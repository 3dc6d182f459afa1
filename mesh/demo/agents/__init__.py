"""The crew: a file per agent, as anyone's agents would be written."""
