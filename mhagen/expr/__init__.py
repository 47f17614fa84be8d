"""The expression language of scores and masks: tree, parser, simplifier, intervals, evaluation."""
