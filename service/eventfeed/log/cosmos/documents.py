"""Conversion of entries to documents of Cosmos DB, and back. The event itself is one string, as it was published."""

import base64

from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.log.cosmos.database import Document

# The members of a document that an entry is restored from.
COLUMNS = (
    "c.id, c.sequence, c.time, c.mark, c.content, c.eventid, c.source, c.type, c.subject, c.org, c.app, c.instance, "
    "c.resource, c.body"
)


def document_id(sequence: int) -> str:
    """Return the id of an entry's document: its sequence as 20 digits."""
    return f"{sequence:020d}"


def document_of(entry: Entry, *, segment: int) -> Document:
    """Return the document of an entry. Members that its event lacks are absent."""
    event = entry.event
    optional = {
        "subject": event.subject,
        "org": event.app.org if event.app else None,
        "app": event.app.name if event.app else None,
        "instance": event.instance,
        "resource": event.resource,
    }
    return {
        "id": document_id(entry.sequence),
        "segment": segment,
        "sequence": entry.sequence,
        "time": entry.time,
        "mark": entry.write_id,
        "identity": identity_of(event.identity),
        "content": base64.b64encode(event.content).decode(),
        "eventid": event.identity.id,
        "source": event.identity.source,
        "type": event.type,
        "body": event.body.decode(),
        **{name: value for name, value in optional.items() if value is not None},
    }


def identity_of(identity: Identity) -> str:
    """Return the member that identities are queried by: a digest, as hexadecimal digits."""
    return identity.digest().hex()


def content_of(document: Document) -> bytes:
    """Return the digest of the publisher's content."""
    return base64.b64decode(document["content"])


def entry_of(document: Document) -> Entry:
    """Return the entry of a document."""
    org, app = document.get("org"), document.get("app")
    event = Event(
        identity=Identity(source=document["source"], id=document["eventid"]),
        type=document["type"],
        subject=document.get("subject"),
        app=None if org is None or app is None else App(org=org, name=app),
        instance=document.get("instance"),
        resource=document.get("resource"),
        content=content_of(document),
        body=document["body"].encode(),
    )
    return Entry(sequence=document["sequence"], time=document["time"], write_id=document["mark"], event=event)
