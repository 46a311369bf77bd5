//! Records as lines: the properties and order of Kafka's `DefaultMessageFormatter`.
//!
//! Promises: without a deserializer, keys and values are written byte for byte; with one of Kafka's
//! for numbers, as its text, and bytes that are no such number are a failure as there.
//! Absent: classes that would need a JVM.

use super::Failure;
use super::args::{is_true, last};
use crate::client::batches::PlacedRecord;
use crate::wire::reader::{Problem, ReadError};

/// What is printed of a record, and what stands between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFormat {
    print_timestamp: bool,
    print_partition: bool,
    print_offset: bool,
    print_epoch: bool,
    print_headers: bool,
    print_key: bool,
    print_value: bool,
    key_separator: Vec<u8>,
    line_separator: Vec<u8>,
    headers_separator: Vec<u8>,
    null_literal: Vec<u8>,
    key_type: Type,
    value_type: Type,
    silent: bool,
}

/// What bytes are, by the class that Kafka would read them with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Bytes,
    Short,
    Integer,
    Long,
    Float,
    Double,
}

/// The type of Kafka's class of this name (`…LongDeserializer`); `None`: bytes as they are.
fn type_of(class: Option<&str>) -> Result<Type, Failure> {
    let Some(class) = class else { return Ok(Type::Bytes) };
    let name = class.rsplit('.').next().unwrap_or_default();
    Ok(match name.strip_suffix("Deserializer").unwrap_or(name) {
        "String" | "ByteArray" | "Bytes" | "ByteBuffer" => Type::Bytes,
        "Short" => Type::Short,
        "Integer" => Type::Integer,
        "Long" => Type::Long,
        "Float" => Type::Float,
        "Double" => Type::Double,
        _ => {
            return Err(Failure::usage(format!(
                "{class} is a Java class, and there is no JVM; Kafka's own for String, ByteArray, \
                 Short, Integer, Long, Float and Double are known"
            )));
        }
    })
}

impl Type {
    /// The text of bytes, or `None` if they cannot be of this type.
    fn text(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let text = match self {
            Type::Bytes => return Some(bytes.to_vec()),
            Type::Short => i16::from_be_bytes(bytes.try_into().ok()?).to_string(),
            Type::Integer => i32::from_be_bytes(bytes.try_into().ok()?).to_string(),
            Type::Long => i64::from_be_bytes(bytes.try_into().ok()?).to_string(),
            Type::Float => format!("{:?}", f32::from_be_bytes(bytes.try_into().ok()?)),
            Type::Double => format!("{:?}", f64::from_be_bytes(bytes.try_into().ok()?)),
        };
        Some(text.into_bytes())
    }
}

impl RecordFormat {
    /// The format that properties describe.
    pub fn new(properties: &[(String, String)]) -> Result<RecordFormat, Failure> {
        let text =
            |key: &str, default: &str| last(properties, key).unwrap_or(default).as_bytes().to_vec();
        let formatter = last(properties, "formatter").unwrap_or("DefaultMessageFormatter");
        let silent = match formatter.rsplit('.').next() {
            Some("NoOpMessageFormatter") => true,
            Some("DefaultMessageFormatter") => false,
            _ => {
                return Err(Failure::usage(format!(
                    "--formatter {formatter} is a Java class, and there is no JVM; \
                     DefaultMessageFormatter and NoOpMessageFormatter are known"
                )));
            }
        };
        Ok(RecordFormat {
            print_timestamp: is_true(properties, "print.timestamp"),
            print_partition: is_true(properties, "print.partition"),
            print_offset: is_true(properties, "print.offset"),
            print_epoch: is_true(properties, "print.epoch"),
            print_headers: is_true(properties, "print.headers"),
            print_key: is_true(properties, "print.key"),
            print_value: last(properties, "print.value").is_none()
                || is_true(properties, "print.value"),
            key_separator: text("key.separator", "\t"),
            line_separator: text("line.separator", "\n"),
            headers_separator: text("headers.separator", ","),
            null_literal: text("null.literal", "null"),
            key_type: type_of(last(properties, "key.deserializer"))?,
            value_type: type_of(last(properties, "value.deserializer"))?,
            silent,
        })
    }

    /// The line of one record, with its separator at the end.
    ///
    /// # Errors
    /// The header that is malformed, or that key or value is not what it is said to be.
    pub fn line(&self, placed: &PlacedRecord<'_>, partition: i32) -> Result<Vec<u8>, ReadError> {
        if self.silent {
            return Ok(Vec::new());
        }
        let mut line = Vec::new();
        let mut field = |wanted: bool, bytes: &[u8]| {
            if wanted {
                line.extend_from_slice(bytes);
                line.extend_from_slice(&self.key_separator);
            }
        };
        let kind = if placed.batch.is_log_append_time() { "LogAppendTime" } else { "CreateTime" };
        let time = match placed.timestamp {
            -1 => "NO_TIMESTAMP".to_owned(),
            timestamp => format!("{kind}:{timestamp}"),
        };
        field(self.print_timestamp, time.as_bytes());
        field(self.print_partition, format!("Partition:{partition}").as_bytes());
        field(self.print_offset, format!("Offset:{}", placed.offset).as_bytes());
        let epoch = placed.batch.partition_leader_epoch;
        field(self.print_epoch, format!("Epoch:{epoch}").as_bytes());
        if self.print_headers {
            field(true, &self.headers(placed)?);
        }
        let text = |bytes: Option<&[u8]>, as_type: Type, name| match bytes {
            Some(bytes) => {
                as_type.text(bytes).ok_or(ReadError { field: name, problem: Problem::BadLength })
            }
            None => Ok(self.null_literal.clone()),
        };
        if self.print_key {
            field(true, &text(placed.record.key, self.key_type, "key")?);
        }
        if self.print_value {
            field(true, &text(placed.record.value, self.value_type, "value")?);
        }
        // The separator behind the last field gives way to the end of the line.
        line.truncate(line.len().saturating_sub(self.key_separator.len()));
        line.extend_from_slice(&self.line_separator);
        Ok(line)
    }

    fn headers(&self, placed: &PlacedRecord<'_>) -> Result<Vec<u8>, ReadError> {
        let mut pairs: Vec<Vec<u8>> = Vec::new();
        placed.record.headers(|key, value| {
            let value = value.unwrap_or(&self.null_literal);
            pairs.push([key.as_bytes(), b":", value].concat());
        })?;
        if pairs.is_empty() {
            return Ok(b"NO_HEADERS".to_vec());
        }
        Ok(pairs.join(&self.headers_separator[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::batches::visit_batch;
    use crate::wire::batch::BatchHeader;
    use crate::wire::record::BatchBuilder;

    fn lines(properties: &[(&str, &str)]) -> String {
        let owned: Vec<_> =
            properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let format = RecordFormat::new(&owned).unwrap();
        let mut builder = BatchBuilder::new(1_000);
        builder.push(1_000, Some(b"k"), Some(b"v"), &[("h1", Some(b"a")), ("h2", None)]);
        builder.push(1_001, None, None, &[]);
        let batch = builder.finish();
        let header = BatchHeader::read(&batch).unwrap();
        let mut text = Vec::new();
        visit_batch(&header, &batch, 100, |placed| {
            text.extend(format.line(&placed, 2).unwrap());
            Ok::<(), crate::client::batches::BatchesError>(())
        })
        .unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn the_value_alone_is_the_default() {
        assert_eq!(lines(&[]), "v\nnull\n");
    }

    #[test]
    fn numbers_of_kafkas_deserializers_are_written_as_java_does() {
        let text = |class: &str, bytes: &[u8]| {
            let found = type_of(Some(class)).unwrap().text(bytes)?;
            Some(String::from_utf8(found).unwrap())
        };
        let long = "org.apache.kafka.common.serialization.LongDeserializer";
        assert_eq!(text(long, &7i64.to_be_bytes()), Some("7".to_owned()));
        assert_eq!(text(long, b"7"), None);
        assert_eq!(text("IntegerDeserializer", &[255; 4]), Some("-1".to_owned()));
        assert_eq!(text("DoubleDeserializer", &1f64.to_be_bytes()), Some("1.0".to_owned()));
        assert_eq!(text("StringDeserializer", b"x"), Some("x".to_owned()));
        assert!(type_of(Some("io.confluent.KafkaAvroDeserializer")).is_err());
        assert_eq!(lines(&[("formatter", "kafka.tools.NoOpMessageFormatter")]), "");
    }

    #[test]
    fn all_fields_stand_in_kafkas_order() {
        let all = ["timestamp", "partition", "offset", "headers", "key"];
        let names: Vec<String> = all.iter().map(|name| format!("print.{name}")).collect();
        let properties: Vec<_> = names.iter().map(|name| (name.as_str(), "true")).collect();
        assert_eq!(
            lines(&properties),
            "CreateTime:1000\tPartition:2\tOffset:0\th1:a,h2:null\tk\tv\n\
             CreateTime:1001\tPartition:2\tOffset:1\tNO_HEADERS\tnull\tnull\n"
        );
    }

    #[test]
    fn separators_and_the_null_literal_can_be_chosen() {
        let properties = [
            ("print.key", "true"),
            ("print.value", "false"),
            ("line.separator", ";"),
            ("null.literal", "-"),
        ];
        assert_eq!(lines(&properties), "k;-;");
        let properties = [("print.key", "true"), ("key.separator", " = ")];
        assert_eq!(lines(&properties), "k = v\nnull = null\n");
    }
}
