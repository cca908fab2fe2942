// What a precompiled header belongs to is a target, and a target has a source.
