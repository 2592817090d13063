"""Owns the arithmetic of identifiers: whether a value without separators can be what it looks like.

Each function takes digits and capital letters and says yes or no. A yes is no proof: a check digit alone lets one
random number in eleven pass, so callers ask for a context word, a column heading or several values as well.
"""

from __future__ import annotations

_UPN_LETTERS = "ABCDEFGHJKLMNPQRTUVWXYZ"  # no I, O, S
_UCI_LETTERS = "ABCDEFGHKLMRTVWXY"
_MRZ_VALUES = {**{str(digit): digit for digit in range(10)}, "<": 0} | {
    chr(code): code - 55 for code in range(ord("A"), ord("Z") + 1)
}

_NINO_NEVER = frozenset({"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"})
_NINO_LOOK_ALIKES = frozenset({"OO", "CR", "FY", "MW", "NC", "PP", "PZ"})

# Lengths of the IBANs a British school meets (ISO 13616 registry); of other countries only the bounds are known.
_IBAN_LENGTHS = {
    "AE": 23, "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20, "ES": 24,
    "FI": 18, "FR": 27, "GB": 22, "GI": 23, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26, "IT": 27,
    "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PT": 25,
    "RO": 24, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "TR": 26, "UA": 29,
}  # fmt: skip

# Brand by leading digits: (from, to, digits of the prefix, lengths of the whole number).
_CARD_PREFIXES = (
    (4, 4, 1, (13, 16, 19)),  # Visa
    (51, 55, 2, (16,)),  # Mastercard
    (2221, 2720, 4, (16,)),
    (34, 34, 2, (15,)),  # American Express
    (37, 37, 2, (15,)),
    (6011, 6011, 4, (16, 19)),  # Discover
    (65, 65, 2, (16, 19)),
    (36, 36, 2, (14, 16)),  # Diners
    (38, 38, 2, (14, 16)),
    (3528, 3589, 4, (16, 19)),  # JCB
    (5018, 5018, 4, tuple(range(13, 20))),  # Maestro
    (5020, 5020, 4, tuple(range(13, 20))),
    (6304, 6304, 4, tuple(range(13, 20))),
)


def is_upn(value: str) -> bool:
    """Unique Pupil Number, also a temporary one: 13 characters, check letter (UPN 2.0; IDENTIFIERS 1).

    The authority is checked loosely, because authorities come and go: 001-005 (pseudo), 200-399, 420, 660-681
    (Wales), 701-708, 800-999.
    """
    if len(value) != 13 or not value[1:12].isdecimal() or not value.isascii():
        return False
    last = int(value[12]) if value[12].isdecimal() else _UPN_LETTERS.find(value[12])
    if last < 0 or not _is_authority(int(value[1:4])):
        return False
    total = sum(weight * int(digit) for weight, digit in enumerate(value[1:12], 2)) + 13 * last
    return _UPN_LETTERS[total % 23] == value[0]


def _is_authority(number: int) -> bool:
    return (
        1 <= number <= 5
        or 200 <= number <= 399
        or number == 420
        or 660 <= number <= 681
        or 701 <= number <= 708
        or number >= 800
    )


def is_uln(value: str) -> bool:
    """Unique Learner Number: ten digits, weights 10 to 1 give 10 modulo 11 (ESFA ULN_04; IDENTIFIERS 2)."""
    if not _digits(value, 10) or value[0] == "0" or _all_same(value):
        return False
    return _descending(value) % 11 == 10


def is_nhs(value: str) -> bool:
    """NHS number: ten digits, weights 10 to 1 give 0 modulo 11 (IDENTIFIERS 4). Never also a ULN."""
    return _digits(value, 10) and not _all_same(value) and _descending(value) % 11 == 0


def _descending(value: str) -> int:
    return sum(weight * int(digit) for weight, digit in zip(range(10, 0, -1), value, strict=True))


def is_nino(value: str) -> bool:
    """National Insurance number: two letters, six digits, suffix A to D; it has no check digit (HMRC NIM39110)."""
    if len(value) != 9 or not value[2:8].isdecimal() or not value.isascii() or value[8] not in "ABCD":
        return False
    prefix = value[:2]
    if not prefix.isalpha() or prefix[0] in "DFIQUV" or prefix[1] in "DFIOQUV":
        return False
    return prefix not in _NINO_NEVER and prefix not in _NINO_LOOK_ALIKES


def is_uci(value: str) -> bool:
    """Unique Candidate Identifier: 12 characters and a check letter, weights 16 to 5 modulo 17 (IDENTIFIERS 12).

    A letter in place six (centres abroad) counts A = 1, B = 2 and so on.
    """
    if len(value) != 13 or not value.isascii() or not (value[:5] + value[6:12]).isdecimal():
        return False
    sixth = int(value[5]) if value[5].isdecimal() else ord(value[5]) - 64
    if value[5] != "0" and not 1 <= sixth <= 12:
        return False
    numbers = [int(digit) for digit in value[:5]] + [sixth] + [int(digit) for digit in value[6:12]]
    total = sum(weight * number for weight, number in zip(range(16, 4, -1), numbers, strict=True))
    return _UCI_LETTERS[total % 17] == value[12]


def is_iban(value: str) -> bool:
    """International bank account number: the country's length, and 1 modulo 97 (ISO 13616; IDENTIFIERS 7)."""
    if not 15 <= len(value) <= 34 or not (value.isascii() and value.isalnum() and value.isupper()):
        return False
    if not value[:2].isalpha() or not value[2:4].isdecimal():
        return False
    if len(value) != _IBAN_LENGTHS.get(value[:2], len(value)):
        return False
    return int("".join(str(int(letter, 36)) for letter in value[4:] + value[:4])) % 97 == 1


def is_card(value: str) -> bool:
    """Payment card: a brand's prefix and length, and Luhn's check digit (ISO/IEC 7812; IDENTIFIERS 8)."""
    if not 13 <= len(value) <= 19 or not _digits(value, len(value)) or _all_same(value):
        return False
    if not any(
        low <= int(value[:size]) <= high and len(value) in lengths for low, high, size, lengths in _CARD_PREFIXES
    ):
        return False
    return luhn(value)


def luhn(value: str) -> bool:
    """Luhn's sum of a number in decimal digits is a multiple of ten."""
    total = sum(int(digit) for digit in value[-1::-2])
    total += sum(sum(divmod(2 * int(digit), 10)) for digit in value[-2::-2])
    return total % 10 == 0


def is_mrz(line: str) -> bool:
    """Second line of a passport's machine-readable zone, 44 characters, all five check digits (ICAO 9303 part 4).

    An empty personal number may have ``<`` as its check digit.
    """
    if len(line) != 44 or any(letter not in _MRZ_VALUES for letter in line):
        return False
    personal = line[42] == mrz_digit(line[28:42]) or (line[42] == "<" and not line[28:42].strip("<"))
    return (
        personal
        and line[9] == mrz_digit(line[:9])
        and line[19] == mrz_digit(line[13:19])
        and line[27] == mrz_digit(line[21:27])
        and line[43] == mrz_digit(line[:10] + line[13:20] + line[21:43])
        and line[:9].strip("<") != ""
    )


def mrz_digit(field: str) -> str:
    """The check digit of a field: weights 7, 3, 1, modulo ten (ICAO 9303 part 3, section 4.9)."""
    return str(sum((7, 3, 1)[index % 3] * _MRZ_VALUES[letter] for index, letter in enumerate(field)) % 10)


def _digits(value: str, count: int) -> bool:
    return len(value) == count and value.isascii() and value.isdecimal()


def _all_same(value: str) -> bool:
    """All-same digits pass several checks, and are fillers (9999999999 where no ULN is known)."""
    return value == value[0] * len(value)
