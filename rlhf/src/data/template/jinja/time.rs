//! The time of day, as templates ask for it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970; `SOURCE_DATE_EPOCH` fixes them, for runs that shall come out the same on any day.
pub fn now() -> u64 {
    let fixed = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    fixed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs()))
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// The usual letters of `strftime`, in UTC.
pub fn strftime(format: &str, seconds: u64) -> String {
    let (days, time) = ((seconds / 86_400) as usize, seconds % 86_400);
    let (year, month, day, day_of_year) = date(days);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(c) = letters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        out += &match letters.next() {
            Some('Y') => year.to_string(),
            Some('y') => format!("{:02}", year % 100),
            Some('m') => format!("{:02}", month + 1),
            Some('d') => format!("{day:02}"),
            Some('e') => format!("{day:2}"),
            Some('j') => format!("{:03}", day_of_year + 1),
            Some('B') => MONTHS[month].to_string(),
            Some('b') => MONTHS[month][..3].to_string(),
            Some('A') => DAYS[days % 7].to_string(),
            Some('a') => DAYS[days % 7][..3].to_string(),
            Some('H') => format!("{hour:02}"),
            Some('I') => format!("{:02}", (hour + 11) % 12 + 1),
            Some('M') => format!("{minute:02}"),
            Some('S') => format!("{second:02}"),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_string(),
            Some('%') => "%".to_string(),
            Some(other) => format!("%{other}"),
            None => "%".to_string(),
        };
    }
    out
}

/// Year, month from 0, day from 1, and day of the year from 0.
fn date(mut days: usize) -> (usize, usize, usize, usize) {
    let is_leap = |year: usize| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    while days >= 365 + is_leap(year) as usize {
        days -= 365 + is_leap(year) as usize;
        year += 1;
    }
    let (day_of_year, mut month) = (days, 0);
    let lengths = [31, 28 + is_leap(year) as usize, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month, days + 1, day_of_year)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let all = "%d %b %Y|%A %a %j|%H:%M:%S %I%p|%y-%m-%e|%%%q";
        assert_eq!(strftime(all, 1_709_251_199), "29 Feb 2024|Thursday Thu 060|23:59:59 11PM|24-02-29|%%q");
        assert_eq!(strftime("%d %B %Y %I %p", 0), "01 January 1970 12 AM");
        assert_eq!(strftime("%d %b %Y", 4_102_444_800), "01 Jan 2100");
    }
}
