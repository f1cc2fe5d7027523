//! The words that claims are read by, per language.

/// The words of one language.
pub(super) struct Tongue {
    /// Join a thing and its value.
    pub(super) links: &'static [&'static str],
    /// Of these, those that speak of the past.
    pub(super) past: &'static [&'static str],
    /// Join a thing and its name.
    pub(super) calls: &'static [&'static str],
    /// Begin a place.
    pub(super) places: &'static [&'static str],
    /// Turn a sentence round.
    pub(super) negations: &'static [&'static str],
    /// Say that it has changed.
    pub(super) changes: &'static [&'static str],
    /// Stand around and change nothing.
    pub(super) asides: &'static [&'static str],
    /// Articles and what joins nouns.
    pub(super) small: &'static [&'static str],
    /// What is the speaker's.
    pub(super) mine: &'static [&'static str],
    /// Stand for a thing that was named before.
    pub(super) pronouns: &'static [&'static str],
    /// Say where somebody lives.
    pub(super) live: &'static [&'static str],
    /// Say where somebody works.
    pub(super) work: &'static [&'static str],
    /// Attributes that a thing has one of.
    pub(super) single: &'static [&'static str],
    /// Whether words are joined to one: `Telefonnummer`.
    pub(super) compounds: bool,
}

#[rustfmt::skip]
pub(super) const TONGUES: [Tongue; 5] = [
    Tongue {
        links: &["is", "am", "are", "was", "were", "equals", "became", "becomes", "costs"],
        past: &["was", "were", "became"],
        calls: &["called", "named"],
        places: &["in", "at", "on", "under", "behind", "near", "beside", "inside", "above", "below"],
        negations: &["not", "no", "never", "cannot"],
        changes: &["now", "currently", "meanwhile", "nowadays"],
        asides: &[
            "now", "currently", "actually", "today", "since", "again", "please", "remember",
            "that", "new", "newest", "current", "latest", "longer", "meanwhile", "nowadays",
            "anymore", "instead", "still", "really", "just", "already", "both",
        ],
        small: &["the", "a", "an", "this", "of", "s", "for"],
        mine: &["my", "our", "mine", "ours"],
        pronouns: &["it", "that", "this", "they", "he", "she", "those", "these"],
        live: &["live", "lives", "moved", "moves", "resides", "reside"],
        work: &["work", "works"],
        single: &[
            "address", "age", "anniversary", "birthday", "boss", "budget", "capital", "city",
            "code", "color", "colour", "cost", "date", "dentist", "deadline", "doctor", "email",
            "employer", "fax", "favorite", "favourite", "fee", "height", "hometown", "husband",
            "job", "language", "landlord", "limit", "manager", "mobile", "name", "nickname",
            "number", "owner", "partner", "password", "passcode", "phone", "pin", "plate",
            "position", "postcode", "price", "rate", "rent", "room", "salary", "size", "status",
            "surname", "time", "title", "username", "version", "weight", "wife", "zip",
        ],
        compounds: false,
    },
    Tongue {
        links: &["ist", "sind", "war", "waren", "lautet", "beträgt", "wurde", "kostet"],
        past: &["war", "waren", "wurde"],
        calls: &["heißt", "heiße", "heissen", "heisst"],
        places: &["in", "im", "am", "auf", "unter", "bei", "an", "hinter", "neben"],
        negations: &["nicht", "kein", "keine", "keinen", "keiner", "nie", "niemals"],
        changes: &["jetzt", "nun", "inzwischen", "mittlerweile"],
        asides: &[
            "jetzt", "nun", "inzwischen", "mittlerweile", "eigentlich", "doch", "neue", "neuer",
            "neues", "neuen", "aktuell", "aktuelle", "dass", "mehr", "wieder", "bitte", "noch",
        ],
        small: &["der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "von", "vom"],
        mine: &["mein", "meine", "meinen", "meiner", "meinem", "unser", "unsere", "unseren"],
        pronouns: &["es", "er", "sie", "das"],
        live: &["wohne", "wohnt", "wohnen", "lebe", "lebt", "leben"],
        work: &["arbeite", "arbeitet", "arbeiten"],
        single: &[
            "adresse", "alter", "geburtstag", "chef", "chefin", "farbe", "passwort", "nummer",
            "miete", "preis", "name", "gehalt", "arzt", "ärztin", "vermieter", "vermieterin",
            "code", "pin", "frist", "termin", "kennwort", "größe", "gewicht", "budget",
        ],
        compounds: true,
    },
    Tongue {
        links: &["est", "sont", "était", "étaient", "coûte"],
        past: &["était", "étaient"],
        calls: &["appelle", "nomme"],
        places: &["dans", "à", "au", "en", "sur", "chez", "sous"],
        negations: &["pas", "jamais", "aucun", "aucune"],
        changes: &["maintenant", "désormais"],
        asides: &["maintenant", "désormais", "actuellement", "nouveau", "nouvelle", "que", "ne", "n"],
        small: &["le", "la", "les", "l", "un", "une", "du", "de", "des", "d"],
        mine: &["mon", "ma", "mes", "notre", "nos"],
        pronouns: &["il", "elle", "c", "ce", "ça"],
        live: &["habite", "habitons", "vit", "vis"],
        work: &["travaille", "travaillons"],
        single: &[
            "adresse", "âge", "anniversaire", "chef", "couleur", "passe", "numéro", "loyer", "prix",
            "nom", "prénom", "salaire", "dentiste", "médecin", "code", "propriétaire", "téléphone",
        ],
        compounds: false,
    },
    Tongue {
        links: &["es", "son", "está", "están", "era", "eran", "cuesta"],
        past: &["era", "eran"],
        calls: &["llama", "llamo", "llaman"],
        places: &["en", "sobre", "bajo"],
        negations: &["no", "nunca", "ningún", "ninguna"],
        changes: &["ahora"],
        asides: &["ahora", "actualmente", "nuevo", "nueva", "que", "ya", "se", "me"],
        small: &["el", "la", "los", "las", "un", "una", "de", "del"],
        mine: &["mi", "mis", "nuestro", "nuestra", "nuestros"],
        pronouns: &["eso", "esto", "él", "ella"],
        live: &["vivo", "vive", "vivimos"],
        work: &["trabajo", "trabaja", "trabajamos"],
        single: &[
            "dirección", "edad", "cumpleaños", "jefe", "jefa", "color", "contraseña", "número",
            "alquiler", "precio", "nombre", "sueldo", "dentista", "médico", "código", "teléfono",
        ],
        compounds: false,
    },
    Tongue {
        links: &["è", "sono", "era", "erano", "costa"],
        past: &["era", "erano"],
        calls: &["chiama", "chiamo", "chiamano"],
        places: &["in", "a", "nel", "nella", "sul", "sulla", "sotto"],
        negations: &["non", "mai", "nessun", "nessuna"],
        changes: &["ora", "adesso"],
        asides: &["ora", "adesso", "attualmente", "nuovo", "nuova", "che", "si", "mi"],
        small: &["il", "lo", "la", "i", "gli", "le", "un", "una", "di", "del", "della", "l"],
        mine: &["mio", "mia", "miei", "mie", "nostro", "nostra"],
        pronouns: &["esso", "ciò", "lui", "lei"],
        live: &["abito", "abita", "vivo", "vive"],
        work: &["lavoro", "lavora"],
        single: &[
            "indirizzo", "età", "compleanno", "capo", "colore", "password", "numero", "affitto",
            "prezzo", "nome", "stipendio", "dentista", "medico", "codice", "telefono",
        ],
        compounds: false,
    },
];

/// Words of a kind of which a thing has one: a wall of one colour, a day.
#[rustfmt::skip]
pub(super) const KINDS: [&[&str]; 4] = [
    &[
        "red", "blue", "green", "yellow", "black", "white", "grey", "gray", "brown", "orange",
        "purple", "pink", "violet", "turquoise", "silver", "beige", "rot", "blau", "grün", "gelb",
        "schwarz", "weiß", "grau", "braun", "rouge", "bleu", "bleue", "vert", "verte", "jaune",
        "noir", "noire", "blanc", "blanche", "rojo", "azul", "verde", "amarillo", "negro",
        "blanco", "rosso", "rossa", "blu", "giallo", "nero", "bianco",
    ],
    &[
        "oak", "pine", "beech", "birch", "maple", "walnut", "ash", "wood", "wooden", "steel",
        "iron", "copper", "brass", "aluminium", "aluminum", "glass", "stone", "marble", "granite",
        "slate", "concrete", "brick", "tile", "tiles", "tiled", "plastic", "leather", "cotton",
        "wool", "silk", "linen", "paper", "clay", "gold", "laminate", "vinyl", "cork", "bamboo",
        "eiche", "kiefer", "buche", "holz", "stahl", "glas", "stein", "marmor", "beton",
    ],
    &[
        "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "mondays",
        "tuesdays", "wednesdays", "thursdays", "fridays", "saturdays", "sundays", "montag",
        "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonntag", "lundi", "mardi",
        "mercredi", "jeudi", "vendredi", "samedi", "dimanche", "lunes", "martes", "miércoles",
        "jueves", "viernes", "sábado", "domingo", "lunedì", "martedì", "mercoledì", "giovedì",
        "venerdì", "sabato", "domenica",
    ],
    &[
        "january", "february", "march", "april", "june", "july", "august", "september", "october",
        "november", "december", "januar", "februar", "märz", "juni", "juli", "oktober", "dezember",
        "janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre",
        "octobre", "novembre", "décembre", "enero", "febrero", "marzo", "abril", "junio", "julio",
        "agosto", "septiembre", "octubre", "noviembre", "diciembre", "gennaio", "febbraio",
        "aprile", "maggio", "giugno", "luglio", "settembre", "ottobre", "dicembre",
    ],
];

/// Verbs that say the same, or the contrary, of one thing.
pub(super) const LIKES: &[&str] =
    &["like", "likes", "love", "loves", "enjoy", "enjoys", "mag", "aime", "liebt"];
/// The contrary of these.
pub(super) const DISLIKES: &[&str] =
    &["hate", "hates", "dislike", "dislikes", "loathe", "loathes", "hasst", "déteste"];
/// What English says before `t`.
pub(super) const SHORTENED: &[&str] = &[
    "isn", "aren", "wasn", "weren", "doesn", "don", "didn", "won", "can", "couldn", "shouldn",
    "wouldn", "hasn", "haven",
];
/// Verbs that only carry a negation.
pub(super) const CARRIERS: &[&str] = &["do", "does", "did"];
