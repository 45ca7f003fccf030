"""The embedded endpoint's translator: a word-for-word glossary, English to Spanish.

It exists so that a run without a key exercises the whole path of a translation; it
claims nothing about translation. Each word is looked up on its own in `GLOSSARY`, after
a few fixed phrases in `PHRASES`; a word that is not there stays English. Word order stays
English too, and nothing agrees with anything: ``the blue lamp`` is ``el azul lámpara``.
Questions and exclamations get their opening marks. The glossary covers the everyday words
of the dataset in ``evals/datasets``; Spanish has to be named in the system prompt, for
it knows no other language.
"""

from __future__ import annotations

import re
from typing import Final

from pytest_realtime_eval.embedded.words import word_list

#: English and Spanish, in turns; an underscore stands for a space.
_PAIRS: Final = word_list(
    "a una an un the el and y or o not no no no of de to a in en on en at a for para with con "
    "from de by por is está are son was era were eran be ser i yo you usted we nosotros it lo "
    "my mi your su our nuestro this este that ese one un two dos three tres four cuatro five "
    "cinco six seis seven siete eight ocho nine nueve ten diez thirty treinta half media "
    "monday lunes tuesday martes wednesday miércoles thursday jueves friday viernes saturday "
    "sábado sunday domingo today hoy tomorrow mañana morning mañana evening tarde day día days "
    "días hours horas yet todavía again otra_vez twice dos_veces more más only solo very muy "
    "much mucho every cada before antes_de after después_de when cuando if si until hasta than "
    "que as como where dónde how cómo what qué please por_favor hello hola goodbye adiós bye "
    "adiós name nombre table mesa door puerta window ventana room habitación beds camas lamp "
    "lámpara coffee café bread pan water agua fountain fuente station estación train tren bus "
    "autobús car coche taxi taxi bridge puente ferry transbordador museum museo library "
    "biblioteca bakery panadería terrace terraza lift ascensor oven horno ceiling techo head "
    "cabeza party fiesta order pedido parcel paquete number número phone teléfono keys llaves "
    "doctor médico sister hermana children niños dogs perros cat gato ducks patos ear oreja "
    "visitors visitantes tickets entradas receipt recibo entry entrada work trabajo flat piso "
    "moment momento way camino winds vientos open abierta closed cerrado shut cerrada free "
    "gratis fresh fresco hot caliente blue azul old viejo white blanca grey gris strong fuerte "
    "lower más_bajo hungry hambriento welcome bienvenidos last últimas book reservar repeat "
    "repetir close cierre closes cierra opens abre leave sale leaves sale keep guarde see ver "
    "wait esperar pay pagar travel viajan cost cuesta does hace can puede could podría need "
    "necesitamos has ha have tener had había arrived llegado lost perdí finds encuentra "
    "rains llueve rang sonó known sabido coming viniendo cooked cocinado will va would iba "
    "read lea like gusta know saber run funciona stay queda middle medio under menores_de "
    "drinking beber feed alimentar sold vendido looks parece worry preocupes"
)

#: What single words hold.
GLOSSARY: Final = {
    english: spanish.replace("_", " ")
    for english, spanish in zip(_PAIRS[::2], _PAIRS[1::2], strict=True)
}

#: What is fixed enough to be looked up as a whole.
PHRASES: Final = {
    "good morning": "buenos días",
    "good evening": "buenas tardes",
    "thank you very much": "muchas gracias",
    "thank you": "gracias",
    "my name is": "me llamo",
    "would like to": "quisiera",
    "half past seven": "las siete y media",
    "no smoking": "prohibido fumar",
}

_LONGEST: Final = max(len(phrase.split()) for phrase in PHRASES)
_SENTENCE: Final = re.compile(r"[^.!?]+[.!?]*|[.!?]+")
_PIECE: Final = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[\W_]+")


def translate(system_prompt: str, text: str) -> str:
    """Return ``text`` word for word in Spanish, line by line.

    Args:
        system_prompt: What was asked for; without *Spanish* in it, nothing is translated.
        text: English.
    """
    if not re.search(r"\bspanish\b|\bespañol\b|\ben-es\b|\bspa\b", system_prompt, re.IGNORECASE):
        return text
    return "\n".join(
        "".join(_sentence(part) for part in _SENTENCE.findall(line)) for line in text.split("\n")
    )


def _sentence(sentence: str) -> str:
    """Translate a sentence and open it with the mark that closes it."""
    lead = sentence[: len(sentence) - len(sentence.lstrip())]
    said = "".join(_words(_PIECE.findall(sentence.strip())))
    said = said[:1].upper() + said[1:] if sentence.strip()[:1].isupper() else said
    mark = {"?": "¿", "!": "¡"}.get(sentence.strip()[-1:], "")
    return f"{lead}{mark}{said}"


def _words(pieces: list[str]) -> list[str]:
    """Translate pieces, which are words and what stands between them by turns."""
    spanish: list[str] = []
    at = 0
    while at < len(pieces):
        found = next(
            filter(None, (_phrase(pieces, at, size) for size in range(_LONGEST, 1, -1))), None
        )
        spanish.append(found[0] if found else GLOSSARY.get(pieces[at].lower(), pieces[at]))
        at = found[1] if found else at + 1
    return spanish


def _phrase(pieces: list[str], at: int, size: int) -> tuple[str, int] | None:
    """Return the fixed phrase of ``size`` words at a piece, and where it ends."""
    end = at + 2 * size - 1
    spanish = PHRASES.get("".join(pieces[at:end]).lower())
    return (spanish, end) if spanish and end <= len(pieces) else None
