"""What becomes of orders when machines fail: faults under load, and a history checker that says what was lost.

`make chaos` starts all of Holdfast on servers of its own. Clients of known intent place, pay, edit, ship and
cancel orders, write down what they ask before they ask it and what they are answered, and ask again until they
know. One fault after the other comes over the stack. After each of them the traffic rests for a moment, and
`history` compares what the clients were told with what the database has.
"""
