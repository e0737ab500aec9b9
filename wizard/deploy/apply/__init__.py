"""An apply, a reset or a recovery: a client in the person's process, and an engine process, detached, as root.

client           starts an engine, follows its events, answers a pending apply (the person's process)
preview          the steps that an apply would take (the person's process)
main             the entry point of an engine process: which verb calls what
session          the frame of every engine process: lock, work.json, clean-up, result
engine           an apply: check, trial, answer, persist or revert (the watchman)
worker           the watchman's fork: takes the trial's steps, takes over where the watchman dies
recovery         verbs `recover`, `takeover` and `reset`: undo what a killed run left, or everything
partial_reset    verb `renew`: `reset --only PART`
reverter         undoes a transaction of the journal, or all of them
steps/           the steps of an apply and their undo: trial (under /run), persist (under /etc)
context          the input of the steps, and their protocol
preflight        disk space and ownership, before anything is changed
lock             one change at a time; waits for commands of killed runs
"""
