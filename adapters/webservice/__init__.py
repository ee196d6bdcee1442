"""Web Service (Web 服务): pages of rows out of a department's SOAP service, and the door for our own.

What
    A :class:`~adapters.webservice.source.WebServiceSource` calls one operation, document/literal wrapped, page
    after page. :mod:`adapters.webservice.server` offers rows in the same shape to others.
Endpoint
    ``webservice`` with the options ``url`` (the WSDL), ``address``, ``service``, ``port``, ``timeout``, ``largest``,
    ``user``, ``password`` and ``ca``; a binding names the operation and, among its options, the elements of
    its request and reply.
Capabilities
    Reads by ``snapshot``, or by ``batches`` where the service takes a mark to start from. It delivers nothing
    and takes nothing back.
Failure
    Time, network and Server faults are Unavailable; credentials, certificates and Client faults are Refused; a
    reply that is no SOAP, or has a DTD, or is too large, is Malformed; a contract without the registered
    operation or argument is Misconfigured. No message carries any text of a reply.
"""
