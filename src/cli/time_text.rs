//! Times as people write them: ISO dates to milliseconds since 1970 and back, ISO durations, and
//! spans in words.
//!
//! Promises: pure; a date without a zone is UTC, as in Kafka's tools (`Utils.getDateTime`).
//! Absent: leap seconds, which neither Kafka nor Unix time know, and time zones by name.

/// Days between 1970-01-01 and a date of the proleptic Gregorian calendar. Counting years from
/// March puts the leap day at the end, so that one formula gives the days of the months before.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// Year, month and day of a day since 1970.
fn date_of(days: i64) -> (i64, i64, i64) {
    // Never too late: the longest years forwards, the shortest ones backwards.
    let mut year = 1970 + days.div_euclid(366).min(days.div_euclid(365));
    while days_since_1970(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12).rev().find(|m| days_since_1970(year, *m, 1) <= days).unwrap_or(1);
    (year, month, days - days_since_1970(year, month, 1) + 1)
}

/// `2018-11-22T10:00:00.000Z` for milliseconds since 1970.
pub fn format_utc(millis: i64) -> String {
    let (year, month, day) = date_of(millis.div_euclid(86_400_000));
    let of_day = millis.rem_euclid(86_400_000);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        of_day / 3_600_000,
        of_day / 60_000 % 60,
        of_day / 1_000 % 60,
        of_day % 1_000
    )
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let sound = digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if sound { text.parse().ok() } else { None }
}

/// Milliseconds since 1970 of `YYYY-MM-DDThh:mm:ss[.sss][Z|±hh:mm|±hhmm|±hh]`.
pub fn parse_datetime(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once('T')?;
    let zone_at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone_at);
    let mut date = date.split('-');
    let year = number(date.next()?, 4..=4)?;
    let month = number(date.next()?, 2..=2).filter(|m| (1..=12).contains(m))?;
    let day = number(date.next()?, 2..=2).filter(|d| (1..=31).contains(d))?;
    let days = days_since_1970(year, month, day);
    if date.next().is_some() || date_of(days) != (year, month, day) {
        return None;
    }
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = clock.split(':');
    let hour = number(clock.next()?, 2..=2).filter(|h| *h < 24)?;
    let minute = number(clock.next()?, 2..=2).filter(|m| *m < 60)?;
    let second = number(clock.next()?, 2..=2).filter(|s| *s < 60)?;
    if clock.next().is_some() {
        return None;
    }
    let millis = number(&format!("{fraction:0<3}"), 3..=3)?;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - zone_seconds(zone)?;
    Some(seconds * 1_000 + millis)
}

fn zone_seconds(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone == "Z" {
        return Some(0);
    }
    let (sign, digits) = zone.split_at(1);
    let digits = digits.replace(':', "");
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = if minutes.is_empty() { 0 } else { number(minutes, 2..=2)? };
    let seconds = number(hours, 2..=2)? * 3_600 + minutes * 60;
    match sign {
        "+" => Some(seconds),
        "-" => Some(-seconds),
        _ => None,
    }
}

/// Milliseconds of an ISO 8601 duration: `P1D`, `PT5M`, `P1DT2H30M5S`.
pub fn parse_duration(text: &str) -> Option<i64> {
    let body = text.strip_prefix('P').or_else(|| text.strip_prefix('p'))?;
    let (mut total, mut digits, mut in_time, mut parts) = (0i64, String::new(), false, 0);
    for c in body.chars() {
        if c.is_ascii_digit() || c == '.' {
            digits.push(c);
            continue;
        }
        if c == 'T' || c == 't' {
            if in_time || !digits.is_empty() {
                return None;
            }
            in_time = true;
            continue;
        }
        let unit_ms = match (c.to_ascii_uppercase(), in_time) {
            ('D', false) => 86_400_000,
            ('H', true) => 3_600_000,
            ('M', true) => 60_000,
            ('S', true) => 1_000,
            _ => return None,
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
        let millis = if fraction.is_empty() {
            0
        } else if c.eq_ignore_ascii_case(&'s') {
            number(&format!("{fraction:0<3}"), 3..=3)?
        } else {
            return None;
        };
        total = total.checked_add(number(whole, 1..=15)?.checked_mul(unit_ms)?)?;
        total = total.checked_add(millis)?;
        digits.clear();
        parts += 1;
    }
    (parts > 0 && digits.is_empty()).then_some(total)
}

/// A span in the two largest units that fit: `3 d 4 h`, `12 s`, `250 ms`.
pub fn span(millis: i64) -> String {
    let (seconds, minutes) = (millis / 1_000, millis / 60_000);
    match (minutes / 1_440, minutes / 60 % 24, minutes % 60, seconds) {
        (0, 0, 0, s) if s < 10 => format!("{millis} ms"),
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {} s", s % 60),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, _, _) => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_back_over_eight_centuries() {
        for days in (-150_000..150_000).step_by(97) {
            let millis = days * 86_400_000 + 45_296_789;
            assert_eq!(parse_datetime(&format_utc(millis)), Some(millis), "{days}");
        }
        assert_eq!(format_utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_datetime("2018-11-22T10:00:00.500"), Some(1_542_880_800_500));
    }

    #[test]
    fn zones_are_taken_off() {
        let utc = parse_datetime("2020-02-29T12:00:00.000Z");
        assert!(utc.is_some());
        assert_eq!(parse_datetime("2020-02-29T13:30:00+01:30"), utc);
        assert_eq!(parse_datetime("2020-02-29T10:00:00.0-0200"), utc);
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2020-02-30T00:00:00",
            "2019-02-29T00:00:00",
            "2020-01-01",
            "2020-13-01T00:00:00",
            "2020-01-01T24:00:00",
            "2020-01-01T00:00:00*01:00",
            "2020-01-01T00:00:00+1",
        ] {
            assert_eq!(parse_datetime(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_iso_8601() {
        assert_eq!(parse_duration("P1DT2H3M4S"), Some(93_784_000));
        assert_eq!(parse_duration("PT0.25S"), Some(250));
        assert_eq!(parse_duration("P7D"), Some(604_800_000));
        for text in ["", "P", "PT", "1D", "P1H", "PT1D", "PT1", "P99999999999999D", "PT1.5M"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn spans_read_well() {
        assert_eq!(span(250), "250 ms");
        assert_eq!(span(12_345), "12 s");
        assert_eq!(span(61_000), "1 min 1 s");
        assert_eq!(span(3_600_000 * 25), "1 d 1 h");
    }
}
