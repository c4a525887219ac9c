//! The one line a node sends its direct peers when what it tells of itself has changed.
//!
//! A channel's source is a claim (host-contract T13), so a hint is no news: it only says that it may be
//! worth asking. Reading one costs nothing and decides nothing.

/// Largest number JSON readers everywhere keep exactly; sequences stay below it.
pub const SEQUENCE_MAX: u64 = (1 << 53) - 1;

const WORD: &str = "changed ";
/// The word and 16 digits.
const LONGEST: usize = WORD.len() + 16;

/// Why a channel message is no hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a hint: one is `changed` and a sequence number")]
pub struct HintError;

/// The message that says: my advert is now this one.
#[must_use]
pub fn write_hint(sequence: u64) -> String {
    format!("{WORD}{}", sequence.min(SEQUENCE_MAX))
}

/// Reads the sequence out of a channel message, strictly.
///
/// # Errors
/// [`HintError`] for whatever [`write_hint`] does not write.
pub fn read_hint(message: &[u8]) -> Result<u64, HintError> {
    if message.len() > LONGEST {
        return Err(HintError);
    }
    let text = std::str::from_utf8(message).map_err(|_utf8| HintError)?;
    let digits = text.strip_prefix(WORD).ok_or(HintError)?;
    // `parse` takes a plus sign and leading zeros too.
    let sequence: u64 = digits.parse().map_err(|_digits| HintError)?;
    if write_hint(sequence) == text {
        Ok(sequence)
    } else {
        Err(HintError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whatever_is_not_exactly_a_hint_is_none() {
        for text in [
            "",
            "changed",
            "changed ",
            "changed -1",
            "changed +1",
            "changed 01",
            "changed 1\n",
            " changed 1",
            "Changed 1",
            "changed 1 2",
            "changed 9007199254740992",
            "changed 18446744073709551616",
        ] {
            assert_eq!(read_hint(text.as_bytes()), Err(HintError), "{text:?}");
        }
        assert_eq!(read_hint(&[0xff; 24]), Err(HintError));
        assert_eq!(read_hint(&vec![b'1'; 1 << 20]), Err(HintError));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(sequence in 0..=SEQUENCE_MAX) {
            prop_assert_eq!(read_hint(write_hint(sequence).as_bytes()), Ok(sequence));
        }
    }
}
