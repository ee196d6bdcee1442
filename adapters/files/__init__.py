"""Files (文件): a directory that one department drops files in and another takes them from.

What
    A :class:`~adapters.files.source.FilesSource` reads complete data files in the order of their names and
    answers with a moved file and a list of refused lines. A :class:`~adapters.files.sink.FilesSink` delivers
    one file of changes per delivery, under a manifest. Where bytes come from (``transports``), what they lie
    in (``wrapping``) and what they mean (``formats``: CSV, XLSX, JSON Lines, XML, Parquet) are separate: none
    knows the others. A transport is a port (:mod:`adapters.files.transports.base`): a directory of this
    machine, or one on an SFTP server.
Endpoint
    ``files`` with the option ``root``, and with ``transport: sftp`` server and account; a binding names a
    pattern (``licence_*.csv``) and, among its options, format and wrapper, what the format asks, the column of
    operations, and when a file is complete.
Capabilities
    Reads by ``batches`` (every file once, remembered by name, size and digest) or ``snapshot`` (the last file
    whole); delivers without merging; settles. A delivery is visible by one rename, and its ledger
    answers by that same rename, so ledger and rows appear together.
Failure
    A broken or hostile file is Malformed with file and place, and nothing of it is delivered; a row that cannot be
    read without loss is refused by the checks (:mod:`schemas.unreadable`); a disk, a lock or a cut line is
    Unavailable; rights, links and a server that is not the known one are Refused; a directory that is not there is
    Misconfigured.
"""
