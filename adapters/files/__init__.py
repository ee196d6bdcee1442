"""Files (文件): a directory that one department drops files in and another takes them from.

What
    A :class:`~adapters.files.source.FilesSource` reads complete CSV files in the order of their names and
    answers with a moved file and a list of refused lines. A :class:`~adapters.files.sink.FilesSink` delivers
    one file of changes per delivery, under a manifest. Where bytes come from (``transports``) and what
    they mean (``formats``) are separate: neither knows the other.
Endpoint
    ``files`` with the option ``root``; a binding names a pattern (``licence_*.csv``) and, among its options,
    encoding, delimiter, the text of a null, the column of operations, and when a file is complete.
Capabilities
    Reads by ``batches`` (every file once, remembered by name, size and digest) or ``snapshot`` (the last file
    whole); delivers without merging; settles. A delivery is visible by one rename, and its ledger
    answers by that same rename, so ledger and rows appear together.
Failure
    A broken file is Malformed with file and line; a disk or a lock is Unavailable; rights and links are
    Refused; a directory that is not there is Misconfigured.
"""
