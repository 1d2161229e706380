//! Trace context: which trace something belongs to, and after which span, as W3C Trace Context writes it.
//!
//! It is kept with events, not in a tracing system: a chain goes on for days and over restarts. An event that came
//! without a context has one all the same, made of ids that are stored anyway (see [`TraceContext::of_event`]).

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::{Delivery, EventKey, OperationId};

/// The attribute, and the header, that says where in which trace something is.
pub const TRACEPARENT: &str = "traceparent";
/// The attribute, and the header, with what tracing systems add to it.
pub const TRACESTATE: &str = "tracestate";

/// Members that a `tracestate` may have.
const MEMBERS_MAX: usize = 32;
/// Characters of a `tracestate` that is carried along; longer ones are left out, as the specification allows.
const STATE_MAX: usize = 512;
/// The flags that are known: sampled, and random trace id.
const FLAGS: u8 = 0b11;
const SAMPLED: u8 = 0b01;

/// A trace: 16 bytes, never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId([u8; 16]);

/// A span of a trace: 8 bytes, never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId([u8; 8]);

macro_rules! hexadecimal {
    ($name:ident, $size:literal) => {
        impl $name {
            /// The bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }

            fn parse(text: &[u8]) -> Option<Self> {
                let bytes = hex(text)?;
                (bytes != [0; $size]).then_some(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; 2 * $size];
                write_hex(&self.0, &mut text);
                f.write_str(std::str::from_utf8(&text).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

hexadecimal!(TraceId, 16);
hexadecimal!(SpanId, 8);

impl TraceId {
    /// The trace of an operation that came without one.
    pub const fn of(operation: &OperationId) -> Self {
        Self(*operation.as_bytes())
    }
}

impl SpanId {
    /// A span id that nothing else has.
    pub fn random() -> Self {
        Self::nonzero(rand::random())
    }

    /// A span that follows from this one, by a number: the same each time, another for each number.
    pub fn derive(self, number: u64) -> Self {
        Self::nonzero(mix(u64::from_be_bytes(self.0).wrapping_add(number.wrapping_mul(GAP))))
    }

    fn of_id(id: &[u8; 16], number: u64) -> Self {
        let (high, low) = id.split_at(8);
        let half = |half: &[u8]| half.try_into().map_or(0, u64::from_be_bytes);
        Self::nonzero(mix(mix(half(high)) ^ half(low))).derive(number)
    }

    fn nonzero(bits: u64) -> Self {
        Self(bits.max(1).to_be_bytes())
    }
}

const GAP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads bits so that ids of neighbours have nothing in common; one to one.
const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A place in a trace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    flags: u8,
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// Reads a `traceparent` with the `tracestate` beside it. None when the first is not valid; the second is left out
    /// when it is not.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let (head, tail) = traceparent.as_bytes().split_at_checked(55)?;
        let dashes = [2, 35, 52].iter().all(|at| head[*at] == b'-');
        let [version]: [u8; 1] = hex(&head[..2])?;
        // A version that is not known yet may say more at its end.
        let ends_well = tail.is_empty() || version > 0 && tail[0] == b'-';
        if !dashes || !ends_well || version == 0xff {
            return None;
        }
        let [flags]: [u8; 1] = hex(&head[53..])?;
        Some(Self {
            trace: TraceId::parse(&head[3..35])?,
            span: SpanId::parse(&head[36..52])?,
            flags: flags & FLAGS,
            state: tracestate.and_then(checked_state).map(Arc::from),
        })
    }

    /// Where an event was created that does not say so: a place that follows from its operation and its key.
    pub fn of_event(operation: &OperationId, key: &EventKey) -> Self {
        let span = SpanId::of_id(key.as_bytes(), 0);
        Self { trace: TraceId::of(operation), span, flags: SAMPLED, state: None }
    }

    /// The first place in the trace of an operation that came without one.
    pub fn of_operation(operation: &OperationId) -> Self {
        let span = SpanId::of_id(operation.as_bytes(), 0);
        Self { trace: TraceId::of(operation), span, flags: SAMPLED, state: None }
    }

    /// Another place in the same trace.
    #[must_use]
    pub fn at(&self, span: SpanId) -> Self {
        Self { span, ..self.clone() }
    }

    /// The place of a delivery's attempt, where this is the place of its event: the same each time it is asked for,
    /// another for each attempt.
    #[must_use]
    pub fn of_attempt(&self, delivery: &Delivery) -> Self {
        self.at(SpanId::of_id(delivery.id.as_bytes(), delivery.fence))
    }

    /// Whether whoever began the trace wants its spans recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The trace flags of the specification.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// The `tracestate`, if there is one.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

impl fmt::Display for TraceContext {
    /// As a `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = *b"00-................................-................-..";
        write_hex(&self.trace.0, &mut text[3..35]);
        write_hex(&self.span.0, &mut text[36..52]);
        write_hex(&[self.flags], &mut text[53..]);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

fn write_hex(bytes: &[u8], into: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(into.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
}

/// Lower-case hexadecimal of exactly so many bytes.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// A `tracestate` without its spaces and empty members; None when there is nothing in it, or when it is not valid.
fn checked_state<'t>(text: &'t str) -> Option<Cow<'t, str>> {
    let members: Vec<_> = text.split(',').map(|member| member.trim_matches([' ', '\t'])).collect();
    let members: Vec<_> = members.into_iter().filter(|member| !member.is_empty()).collect();
    let mut keys = HashSet::new();
    let mut is_member = |member: &'t str| match member.split_once('=') {
        Some((key, value)) => is_state_key(key) && is_state_value(value) && keys.insert(key),
        None => false,
    };
    if members.is_empty() || members.len() > MEMBERS_MAX || !members.iter().all(|member| is_member(member)) {
        return None;
    }
    let text = if members.len() == 1 { Cow::Borrowed(members[0]) } else { Cow::Owned(members.join(",")) };
    (text.len() <= STATE_MAX).then_some(text)
}

/// `name`, or `tenant@system`.
fn is_state_key(key: &str) -> bool {
    let rest =
        |text: &str| text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'));
    let first = |text: &str, digits: bool| {
        text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || digits && byte.is_ascii_digit())
    };
    match key.split_once('@') {
        None => key.len() <= 256 && first(key, true) && rest(key),
        Some((tenant, system)) => {
            let (tenant_fits, system_fits) = (tenant.len() <= 241, system.len() <= 14);
            tenant_fits && system_fits && first(tenant, true) && rest(tenant) && first(system, false) && rest(system)
        }
    }
}

/// 1 to 256 printable characters without `,` and `=`; spaces at its end are cut off before.
fn is_state_value(value: &str) -> bool {
    (1..=256).contains(&value.len()) && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b",=".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ids, Timestamp};

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(text: &str) -> Option<TraceContext> {
        TraceContext::parse(text, None)
    }

    #[test]
    fn what_is_valid_is_read_and_written() {
        let context = parse(GOOD).unwrap();
        assert_eq!((context.to_string().as_str(), context.is_sampled()), (GOOD, true));
        for (text, written) in [
            (GOOD.replace("-01", "-00"), GOOD.replace("-01", "-00")),
            (GOOD.replace("-01", "-03"), GOOD.replace("-01", "-03")),
            // Flags that are not known are not passed on.
            (GOOD.replace("-01", "-ff"), GOOD.replace("-01", "-03")),
            (GOOD.replacen("00", "01", 1), GOOD.to_owned()),
            (GOOD.replacen("00", "fe", 1), GOOD.to_owned()),
            (GOOD.replacen("00", "cc", 1) + "-what-comes", GOOD.to_owned()),
            (GOOD.replacen("00", "cc", 1) + "-", GOOD.to_owned()),
        ] {
            assert_eq!(parse(&text).unwrap().to_string(), written, "{text}");
        }
    }

    #[test]
    fn what_is_not_valid_is_none() {
        for text in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0100",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331-01",
            "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\u{e9}",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319cb-7ad6b7169203331-01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn tracestate_is_kept_when_it_is_valid() {
        let state = |text: &str| TraceContext::parse(GOOD, Some(text)).unwrap().state().map(str::to_owned);
        let members = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        for (text, kept) in [
            ("a=1", "a=1"),
            (" a=1 ,\t, b=2 3 ", "a=1,b=2 3"),
            ("1a-_*/=x", "1a-_*/=x"),
            ("tenant@system=1", "tenant@system=1"),
            (&members(32), &members(32)),
        ] {
            assert_eq!(state(text).as_deref(), Some(kept), "{text}");
        }
        let long = format!("a={},b={}", "x".repeat(256), "y".repeat(256));
        for text in
            ["", " , ", "a", "=1", "a=", "A=1", "a=1,a=2", "a=b=c", "a=\u{e9}", "@b=1", "a@1=1", &members(33), &long]
        {
            assert_eq!(state(text), None, "{text}");
        }
        assert_eq!(TraceContext::parse("00-bad", Some("a=1")), None);
    }

    #[test]
    fn derived_places_are_stable_and_their_own() {
        let mut ids = Ids::seeded(0, 7);
        let now = Timestamp::from_millis(1_700_000_000_000);
        let operation: OperationId = ids.next(now);
        let mut seen = HashSet::new();
        for _ in 0..1_000 {
            let key: EventKey = ids.next(now);
            let context = TraceContext::of_event(&operation, &key);
            assert_eq!(context, TraceContext::of_event(&operation, &key));
            assert_eq!(context.trace.as_bytes(), operation.as_bytes());
            assert_eq!(parse(&context.to_string()).unwrap(), context);
            assert!((0..10).all(|number| seen.insert(context.span.derive(number + 1))) && seen.insert(context.span));
        }
        assert_ne!(SpanId::nonzero(0), SpanId([0; 8]));
    }
}
