//! From the bytes of a request to the bytes of its reply.

use protocol::{Refusal, RefusalKind, Reply, Request, decode_request, encode_reply};

use super::{ControlError, ControlTarget};

/// Does what a line asks for, and returns the line that says so. What is no request is answered too.
pub(super) fn answer(line: &[u8], target: &impl ControlTarget) -> Vec<u8> {
    match decode_request(line) {
        Ok(request) => line_of(carry_out(request, target).unwrap_or_else(Reply::Error)),
        Err(error) => refuse(Refusal::from(&error)),
    }
}

/// The line that says why nothing was done.
pub(super) fn refuse(refusal: Refusal) -> Vec<u8> {
    line_of(Reply::Error(refusal))
}

fn carry_out(request: Request, target: &impl ControlTarget) -> Result<Reply, Refusal> {
    let done = |()| Reply::Done;
    match request {
        Request::Show => Ok(Reply::Show(Box::new(target.report()))),
        Request::SetLimit { limit_bytes } => set_limit(limit_bytes, target).map(done),
        Request::Freeze => target.freeze().map(done).map_err(refusal),
        Request::Thaw => target.thaw().map(done).map_err(refusal),
        Request::Flush { bytes } => {
            target.flush(bytes.unwrap_or(u64::MAX)).map(|bytes| Reply::Flushed { bytes }).map_err(refusal)
        }
        Request::PowerButton => target.power_button().map(done).map_err(refusal),
    }
}

fn set_limit(limit_bytes: u64, target: &impl ControlTarget) -> Result<(), Refusal> {
    let tmem = target.report().tmem.ok_or(ControlError::NoTmem).map_err(refusal)?;
    if limit_bytes < tmem.reservation_bytes {
        let reservation_bytes = tmem.reservation_bytes;
        let message = format!("a limit of {limit_bytes} bytes is below the reservation of {reservation_bytes} bytes");
        return Err(Refusal::new(RefusalKind::Invalid, message));
    }
    target.set_limit(limit_bytes).map_err(refusal)
}

#[allow(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
fn refusal(error: ControlError) -> Refusal {
    let kind = match error {
        ControlError::NoTmem => RefusalKind::NoTmem,
        ControlError::Host(_) => RefusalKind::Failed,
    };
    Refusal::new(kind, error.to_string())
}

/// The reply's line; where it does not fit into a message, that of a refusal, which does. An empty line, which is no
/// message at all, stands for the rest that cannot happen: a short text that JSON cannot express.
fn line_of(reply: Reply) -> Vec<u8> {
    encode_reply(reply)
        .or_else(|error| encode_reply(Reply::Error(Refusal::new(RefusalKind::Failed, error.to_string()))))
        .unwrap_or_else(|_| vec![b'\n'])
}
