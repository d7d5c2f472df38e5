"""Every interleaving of two: what happens when two verbs meet, in every order of their statements.

    python -m proofs.interleavings                          all pairs
    python -m proofs.interleavings "pay|expire"             some of them
    python -m proofs.interleavings --replay "pay|expire AABAB"   one schedule, statement by statement

`acts` has the verbs and the shop in which they meet; `explorer` walks the schedules, on two real connections;
`touching` says which statements can be felt by another transaction, so that schedules that differ only in the
order of statements that can't are walked once; `judging` says what a schedule may come to.
"""
