//! File names for models and partitions: reversible, safe on every file system, at most 249 bytes.

use std::fmt::Write;

use crate::offsets::TopicPartition;
use crate::store::Error;

/// File systems allow 255 bytes; the longest ending of ours has 6.
const NAME_MAX: usize = 249;

/// `<topic>-<partition>`, as Kafka names its own log directories.
pub(super) fn partition(partition: &TopicPartition) -> Result<String, Error> {
    let topic = &*partition.topic;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let dots_only = topic.bytes().all(|byte| byte == b'.') && topic.len() <= 2;
    if dots_only || topic.len() > NAME_MAX || !topic.bytes().all(legal) {
        return Err(Error::BadTopic { name: topic.to_owned() });
    }
    Ok(shorten(escape(&partition.to_string())))
}

/// A model's name with everything but `A-Z a-z 0-9 _ - .` as `%XX`; never hidden, never `..`.
pub(super) fn model(name: &str) -> Result<String, Error> {
    if name.is_empty() { Err(Error::NoName) } else { Ok(shorten(escape(name))) }
}

fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for (i, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (byte == b'.' && i > 0) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("a String takes everything");
        }
    }
    escaped
}

/// Names beyond the file system's limit end in a hash; `~` occurs in no other name, and the whole
/// name is inside the record, so even equal hashes could not be mixed up.
fn shorten(name: String) -> String {
    if name.len() <= NAME_MAX {
        return name;
    }
    let hash = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
    format!("{}~{hash:016x}", &name[..NAME_MAX - 17])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unescape(name: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = name.as_bytes();
        while let Some((&byte, tail)) = rest.split_first() {
            if byte == b'%' {
                let hex = std::str::from_utf8(&tail[..2]).unwrap();
                bytes.push(u8::from_str_radix(hex, 16).unwrap());
                rest = &tail[2..];
            } else {
                bytes.push(byte);
                rest = tail;
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        #[test]
        fn model_names_come_back_from_their_file_names(name in "\\PC{1,20}|[./~%a]{1,20}") {
            let file = model(&name).unwrap();
            prop_assert_eq!(unescape(&file), name);
            prop_assert!(!file.starts_with('.') && !file.contains('/') && file.is_ascii());
        }

        #[test]
        fn long_names_stay_within_the_limit_and_apart(
            a in "[é/a]{200,400}", b in "[é/a]{200,400}",
        ) {
            let (x, y) = (model(&a).unwrap(), model(&b).unwrap());
            prop_assert!(x.len() <= NAME_MAX && y.len() <= NAME_MAX);
            prop_assert_eq!(a == b, x == y);
        }
    }

    #[test]
    fn partitions_are_named_as_kafka_names_them() {
        let name = |topic: &str, p| partition(&TopicPartition::new(topic, p));
        assert_eq!(name("fraud.inferences", 12).unwrap(), "fraud.inferences-12");
        assert_eq!(name(".hidden", 0).unwrap(), "%2Ehidden-0");
        assert!(name(&"t".repeat(249), i32::MAX).unwrap().len() <= NAME_MAX);
        for bad in ["", ".", "..", "a/b", "../../etc/passwd", "ä", "a b", &"t".repeat(250)] {
            assert!(matches!(name(bad, 0), Err(Error::BadTopic { .. })), "{bad}");
        }
    }
}
