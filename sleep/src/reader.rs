//! The JSON of a night as data, and the one parser that reads it.
//!
//! Made for two promises that a derived parser does not keep: every error is one of our own paths, and
//! nothing of the input is copied on the way, neither a key nor the name.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::error::Category;
use zeroize::{Zeroize, Zeroizing};

use crate::input::{InputError, MAX_AGE_YEARS, MAX_NAME_BYTES, MAX_NIGHT_MINUTES};

/// The numbers of a night, each in its own range; nothing is said yet of their sum.
#[derive(Clone, Copy, Default, Zeroize)]
pub(crate) struct Numbers {
    pub(crate) age: u8,
    /// Minutes of light, deep and REM sleep.
    pub(crate) minutes: [f64; 3],
}

/// Reads the whole text, which must be one object with exactly our fields. The name, once it is found well-formed,
/// is shown to `name` and not kept.
pub(crate) fn read(text: &str, name: &dyn Fn(&str)) -> Result<Zeroizing<Numbers>, InputError> {
    let progress = Progress::new(name);
    let mut parser = serde_json::Deserializer::from_str(text);
    Reader { field: &TOP, progress: &progress }
        .deserialize(&mut parser)
        .map_err(|error| progress.explain(&error))?;
    parser.end().map_err(|_| InputError::TrailingData)?;
    Ok(Zeroizing::new(progress.numbers.get()))
}

/// What may stand at one place of the JSON.
pub(crate) struct Field {
    pub(crate) path: &'static str,
    wanted: &'static str,
    shape: Shape,
}

enum Shape {
    Name,
    Age,
    /// Minutes of a stage: its place in [`Numbers::minutes`].
    Minutes(usize),
    Object(&'static [(&'static str, &'static Field)]),
}

pub(crate) static TOP: Field = Field {
    path: "top level",
    wanted: "an object with name, age and sleep",
    shape: Shape::Object(&[("name", &NAME), ("age", &AGE), ("sleep", &SLEEP)]),
};
static NAME: Field = Field { path: "name", wanted: "a string of 1 to 256 bytes", shape: Shape::Name };
static AGE: Field = Field { path: "age", wanted: "a whole number of years from 0 to 130", shape: Shape::Age };
pub(crate) static SLEEP: Field = Field {
    path: "sleep",
    wanted: "an object with light, deep and rem",
    shape: Shape::Object(&[("light", &LIGHT), ("deep", &DEEP), ("rem", &REM)]),
};
static LIGHT: Field = stage("sleep.light", &[("minutes", &LIGHT_MINUTES)]);
static DEEP: Field = stage("sleep.deep", &[("minutes", &DEEP_MINUTES)]);
static REM: Field = stage("sleep.rem", &[("minutes", &REM_MINUTES)]);
static LIGHT_MINUTES: Field = minutes("sleep.light.minutes", 0);
static DEEP_MINUTES: Field = minutes("sleep.deep.minutes", 1);
static REM_MINUTES: Field = minutes("sleep.rem.minutes", 2);

const fn stage(path: &'static str, fields: &'static [(&'static str, &'static Field)]) -> Field {
    Field { path, wanted: "an object with minutes", shape: Shape::Object(fields) }
}

const fn minutes(path: &'static str, at: usize) -> Field {
    Field { path, wanted: "a number of minutes from 0 to 1440", shape: Shape::Minutes(at) }
}

/// What has been read so far, and where the parser stands. Kept beside the parser because its own
/// error type carries text only, and text about the input is what must not get out.
struct Progress<'n> {
    at: Cell<&'static Field>,
    wrong: Cell<Option<InputError>>,
    numbers: Cell<Numbers>,
    name: &'n dyn Fn(&str),
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.numbers.get_mut().zeroize();
    }
}

impl<'n> Progress<'n> {
    fn new(name: &'n dyn Fn(&str)) -> Self {
        Self { at: Cell::new(&TOP), wrong: Cell::new(None), numbers: Cell::default(), name }
    }

    /// Remembers what is wrong; the error returned only makes the parser stop.
    fn stop<E: serde::de::Error>(&self, wrong: InputError) -> E {
        self.wrong.set(Some(wrong));
        E::custom("")
    }

    fn explain(&self, error: &serde_json::Error) -> InputError {
        if let Some(wrong) = self.wrong.take() {
            return wrong;
        }
        let field = self.at.get();
        let leaf = !matches!(field.shape, Shape::Object(_));
        match error.classify() {
            Category::Data => InputError::Invalid { path: field.path, wanted: field.wanted },
            // A number too large for a double, `NaN`, a broken escape in the name.
            Category::Syntax if leaf => InputError::Invalid { path: field.path, wanted: field.wanted },
            Category::Syntax | Category::Eof | Category::Io => {
                InputError::NotJson { path: field.path, wanted: field.wanted }
            }
        }
    }
}

/// Reads the value of one [`Field`] into [`Progress`].
struct Reader<'p, 'n> {
    field: &'static Field,
    progress: &'p Progress<'n>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        let progress = self.progress;
        let outer = progress.at.replace(self.field);
        match self.field.shape {
            Shape::Name => parser.deserialize_str(self),
            Shape::Age => parser.deserialize_u64(self),
            Shape::Minutes(_) => parser.deserialize_f64(self),
            Shape::Object(_) => parser.deserialize_map(self),
        }?;
        progress.at.set(outer);
        Ok(())
    }
}

// Whatever is not visited below is refused by the trait's own methods, as the wrong type.
impl<'de> Visitor<'de> for Reader<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field.wanted)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        match self.field.shape {
            Shape::Name if (1..=MAX_NAME_BYTES).contains(&value.len()) => {
                (self.progress.name)(value);
                Ok(())
            }
            _ => Err(E::custom("")),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        match (&self.field.shape, u16::try_from(value)) {
            (Shape::Age, Ok(years)) => match u8::try_from(years) {
                Ok(years) if years <= MAX_AGE_YEARS => {
                    let numbers = self.progress.numbers.get();
                    self.progress.numbers.set(Numbers { age: years, ..numbers });
                    Ok(())
                }
                _ => Err(E::custom("")),
            },
            (Shape::Minutes(_), Ok(minutes)) => self.visit_f64(f64::from(minutes)),
            _ => Err(E::custom("")),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        let Shape::Minutes(stage) = self.field.shape else {
            return Err(E::custom(""));
        };
        let mut numbers = self.progress.numbers.get();
        match numbers.minutes.get_mut(stage) {
            Some(minutes) if (0.0..=MAX_NIGHT_MINUTES).contains(&value) => {
                // Makes a negative zero an ordinary one.
                *minutes = value + 0.0;
                self.progress.numbers.set(numbers);
                Ok(())
            }
            _ => Err(E::custom("")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { field: &Field { path, wanted, ref shape }, progress } = self;
        let Shape::Object(fields) = shape else {
            return Err(A::Error::custom(""));
        };
        // The fields that have come, a bit each: no object has more than 3.
        let mut come = 0_u8;
        while let Some(known) = map.next_key_seed(Key(fields))? {
            let Some((bit, field)) = known else {
                return Err(progress.stop(InputError::Unknown { path, wanted }));
            };
            if come & bit != 0 {
                return Err(progress.stop(InputError::Duplicate { path: field.path }));
            }
            come |= bit;
            map.next_value_seed(Reader { field, progress })?;
        }
        match bits(fields).find(|(bit, _)| come & bit == 0) {
            None => Ok(()),
            Some((_, &Field { path, wanted, .. })) => {
                Err(progress.stop(InputError::Missing { path, wanted }))
            }
        }
    }
}

/// The fields of an object, each with a bit of its own.
fn bits(fields: &'static [(&'static str, &'static Field)]) -> impl Iterator<Item = (u8, &'static Field)> {
    (0..u8::BITS).map(|place| 1 << place).zip(fields).map(|(bit, (_, field))| (bit, *field))
}

/// Tells which of these fields a key names, if any. The key itself is not kept.
struct Key(&'static [(&'static str, &'static Field)]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<(u8, &'static Field)>;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Self::Value, D::Error> {
        parser.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<(u8, &'static Field)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        let named = self.0.iter().zip(bits(self.0)).find(|((name, _), _)| *name == key);
        Ok(named.map(|(_, bit_and_field)| bit_and_field))
    }
}
