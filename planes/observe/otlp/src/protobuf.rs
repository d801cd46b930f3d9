//! Protobuf, walked level by level: a message that is empty takes two bytes on the wire and a hundred times as much in
//! memory, so that only one span is decoded at a time.

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::export::Malformed;
use crate::messages::{Resource, Scope, Span};
use crate::row::{Making, Refused};

/// `ExportTraceServiceRequest.resource_spans`.
const RESOURCE_SPANS: u32 = 1;
/// `ResourceSpans.resource` and `.scope_spans`; `ScopeSpans.scope` and `.spans`.
const ABOUT: u32 = 1;
const ITEMS: u32 = 2;

/// Reads an `ExportTraceServiceRequest`.
pub(crate) fn read(body: &[u8], making: &mut Making<'_>) -> Result<(), Malformed> {
    each(body, RESOURCE_SPANS, |of_resource| {
        let resource: Option<Resource> = about(of_resource, making)?;
        making.resource(resource);
        each(of_resource, ITEMS, |of_scope| {
            let scope: Option<Scope> = about(of_scope, making)?;
            making.scope(scope);
            each(of_scope, ITEMS, |span| {
                if !making.has_room() {
                    making.refuse(Refused::TooMany);
                } else if span.len() > making.limits.message_bytes {
                    making.refuse(Refused::TooLarge);
                } else {
                    match Span::decode(span) {
                        Ok(span) => making.span(span),
                        Err(_) => making.refuse(Refused::Malformed),
                    }
                }
                Ok(())
            })
        })
    })
}

/// What stands in field 1: the resource or the scope; parts of it that come apart are one (protobuf's "last one wins",
/// field by field). `None`: it is too large.
fn about<M: Message + Default>(
    message: &[u8],
    making: &Making<'_>,
) -> Result<Option<M>, Malformed> {
    let mut whole = M::default();
    let mut bytes = 0;
    each(message, ABOUT, |part| {
        bytes += part.len();
        if bytes <= making.limits.message_bytes {
            whole.merge(part).map_err(|error| Malformed(error.to_string()))?;
        }
        Ok(())
    })?;
    Ok((bytes <= making.limits.message_bytes).then_some(whole))
}

/// Calls `on` for each message in field `tag`; passes over other fields.
fn each<'a>(
    mut at: &'a [u8],
    tag: u32,
    mut on: impl FnMut(&'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let malformed = |error: prost::DecodeError| Malformed(error.to_string());
    while !at.is_empty() {
        let (field, wire) = decode_key(&mut at).map_err(malformed)?;
        if field != tag {
            skip_field(wire, field, &mut at, DecodeContext::default()).map_err(malformed)?;
            continue;
        }
        if wire != WireType::LengthDelimited {
            return Err(Malformed(format!(
                "field {tag} is no message; is it an export of traces?"
            )));
        }
        let length = decode_varint(&mut at).map_err(malformed)?;
        let part = usize::try_from(length).ok().and_then(|length| at.split_at_checked(length));
        let Some((message, rest)) = part else {
            return Err(Malformed("it ends within a message".into()));
        };
        at = rest;
        on(message)?;
    }
    Ok(())
}
