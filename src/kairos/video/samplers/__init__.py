"""Frame samplers: which K frames of a clip a model looks at."""
