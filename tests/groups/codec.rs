//! Kafka's primitive types, both directions, written anew for this test.
//!
//! Promises: nothing of `src/wire` is used, so that a mistake there cannot hide itself; whatever
//! does not decode panics and names the field.
//! Absent: what the group requests don't need (varint records, uuids).

/// Writes one request.
pub struct Put {
    pub bytes: Vec<u8>,
    pub version: i16,
    flexible: bool,
}

impl Put {
    /// A request with its header, room for the frame length included.
    pub fn request(key: i16, version: i16, flexible_since: i16, id: i32, client_id: &str) -> Put {
        let mut p = Put { bytes: vec![0; 4], version, flexible: false };
        p.i16(key);
        p.i16(version);
        p.i32(id);
        // Request header v2 keeps the int16 length of the client id.
        p.string(client_id);
        p.flexible = version >= flexible_since;
        p.tags();
        p
    }

    /// The frame, with its length.
    pub fn finish(mut self) -> Vec<u8> {
        let length = self.bytes.len() as u32 - 4;
        self.bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.bytes
    }

    pub fn i8(&mut self, value: i8) {
        self.bytes.push(value as u8);
    }

    pub fn i16(&mut self, value: i16) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.bytes.extend(value.to_be_bytes());
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A length of an array or of bytes; a string's is two bytes in the old encoding.
    fn length(&mut self, length: Option<usize>, short: bool) {
        match (self.flexible, length) {
            (true, length) => self.varint(length.map_or(0, |it| it as u32 + 1)),
            (false, Some(it)) if short => self.i16(it as i16),
            (false, None) if short => self.i16(-1),
            (false, length) => self.i32(length.map_or(-1, |it| it as i32)),
        }
    }

    pub fn nullable_string(&mut self, value: Option<&str>) {
        self.length(value.map(str::len), true);
        self.bytes.extend(value.unwrap_or_default().as_bytes());
    }

    pub fn string(&mut self, value: &str) {
        self.nullable_string(Some(value));
    }

    pub fn bytes(&mut self, value: &[u8]) {
        self.length(Some(value.len()), false);
        self.bytes.extend(value);
    }

    pub fn array(&mut self, count: usize) {
        self.length(Some(count), false);
    }

    /// The empty tagged fields that end every struct of a flexible version.
    pub fn tags(&mut self) {
        if self.flexible {
            self.bytes.push(0);
        }
    }
}

/// Reads one answer.
pub struct Take<'a> {
    rest: &'a [u8],
    pub version: i16,
    flexible: bool,
}

impl<'a> Take<'a> {
    /// What follows the correlation id.
    pub fn answer(bytes: &'a [u8], version: i16, flexible_since: i16) -> Take<'a> {
        let mut t = Take { rest: bytes, version, flexible: version >= flexible_since };
        t.tags();
        t
    }

    /// Everything has been read.
    pub fn end(&self) {
        assert!(self.rest.is_empty(), "{} bytes left over: {:?}", self.rest.len(), self.rest);
    }

    fn take(&mut self, count: usize, field: &str) -> &'a [u8] {
        let Some((head, rest)) = self.rest.split_at_checked(count) else {
            panic!("{field}: {count} bytes wanted, {} left", self.rest.len());
        };
        self.rest = rest;
        head
    }

    pub fn bool(&mut self, field: &str) -> bool {
        self.take(1, field)[0] != 0
    }

    pub fn i16(&mut self, field: &str) -> i16 {
        i16::from_be_bytes(self.take(2, field).try_into().unwrap())
    }

    pub fn i32(&mut self, field: &str) -> i32 {
        i32::from_be_bytes(self.take(4, field).try_into().unwrap())
    }

    pub fn i64(&mut self, field: &str) -> i64 {
        i64::from_be_bytes(self.take(8, field).try_into().unwrap())
    }

    fn varint(&mut self, field: &str) -> u32 {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = u32::from(self.take(1, field)[0]);
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
        }
        panic!("{field}: a varint of more than five bytes");
    }

    fn length(&mut self, short: bool, field: &str) -> Option<usize> {
        let length = match (self.flexible, short) {
            (true, _) => i64::from(self.varint(field)) - 1,
            (false, true) => i64::from(self.i16(field)),
            (false, false) => i64::from(self.i32(field)),
        };
        usize::try_from(length).ok()
    }

    pub fn nullable_string(&mut self, field: &str) -> Option<String> {
        let length = self.length(true, field)?;
        Some(String::from_utf8(self.take(length, field).to_vec()).expect("UTF-8"))
    }

    pub fn string(&mut self, field: &str) -> String {
        self.nullable_string(field).unwrap_or_else(|| panic!("{field} is null"))
    }

    pub fn bytes(&mut self, field: &str) -> Vec<u8> {
        let length = self.length(false, field).unwrap_or_else(|| panic!("{field} is null"));
        self.take(length, field).to_vec()
    }

    /// As many as the array says.
    pub fn array<T>(&mut self, field: &str, mut each: impl FnMut(&mut Take<'a>) -> T) -> Vec<T> {
        let count = self.length(false, field).unwrap_or_else(|| panic!("{field} is null"));
        (0..count)
            .map(|_| {
                let item = each(self);
                self.tags();
                item
            })
            .collect()
    }

    /// The end of a struct: none of these answers has a tagged field.
    pub fn tags(&mut self) {
        if self.flexible {
            assert_eq!(self.varint("tags"), 0, "a tagged field");
        }
    }
}
