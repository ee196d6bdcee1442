"""Web Service (Web 服务): rows out of a department's SOAP service and into it, and the door for our own.

What
    A :class:`~adapters.webservice.source.WebServiceSource` calls one operation page after page and reads the replies
    while they arrive; a :class:`~adapters.webservice.sink.WebServiceSink` pushes rows message by message.
    :mod:`adapters.webservice.server` offers rows to others.
Endpoint
    ``webservice``: ``url`` is the WSDL; credentials, limits and patience are options too. A binding names the operation
    and, among its options, the elements of its request and reply (``PageOptions``, ``PushOptions``).
Capabilities
    Reads by ``snapshot``, or by ``batches`` where the service takes a mark or a window of time. Delivers without a
    transaction: a message that got no answer goes again under the same id. It takes nothing back.
Failure
    Time, network and Server faults are Unavailable; credentials, certificates and Client faults are Refused; a
    reply that is no SOAP, or has a DTD, or is too large, is Malformed; a contract without the registered
    operation or argument is Misconfigured. No message carries any text of a reply.
"""
