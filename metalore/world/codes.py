"""Numbers that stand for choices and for problems in compiled code."""

NEAREST, STRONGEST = range(2)
RESOURCE_FAIR, ROUND_ROBIN, PROPORTIONAL_FAIR = range(3)
AT_CREATION, AT_START, AT_COMPLETION = range(3)
ANY_DAY, ON_WEEKDAYS, ON_WEEKEND = range(3)
NO_INTERFERENCE, OBSERVED_LOAD, FULL_LOAD = range(3)
ON_RING, ANYWHERE, GIVEN = range(3)
PLACEMENT_ATTEMPTS = 100_000

# What compiled code reports; `World` turns it into a sentence.
FINE, NOT_A_SHARE, ENDED, NOT_PLACED, BAD_CHANNEL, BAD_MOBILITY, BAD_TRAFFIC, BAD_SCHEDULER = range(8)
