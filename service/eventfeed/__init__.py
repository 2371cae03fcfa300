"""eventfeed: publishers post CloudEvents, consumers follow one strictly increasing sequence.

Glossary:
    event       a CloudEvent as its publisher sent it
    identity    (`source`, `id`): what makes two events the same
    entry       an event at its place in the log
    sequence    the number of an entry: 1, 2, 3, … without holes
    tail        the last entry this process knows of, with every entry before it
    floor       the last entry that retention has taken away
    cursor      `{log}.{sequence}`: a consumer's place, the last position examined
    feed        the entries that belong together for a reader: those of an app
    page        what one read of a feed gives

Reading order: `domain` (values and decisions), `log` (how the sequence is kept), `identity` and `access`
(who is asking, what they may), `http` (the wire), `app` (how it all hangs together), `cli`.
"""
