"""Who answers the calls: personas, their dialogues and voices. Knows no engine and no call."""
