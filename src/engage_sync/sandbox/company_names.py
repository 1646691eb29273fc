"""Word lists for the invented company of the demo: people, client firms, job titles. Nobody and nothing is real, and
the domains made of these words end in `.example`. It holds words only and decides nothing."""

from __future__ import annotations

import unicodedata


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST = _words(
    "Adaeze Aiko Alma Amara Amir Anika Anouk Arjun Asha Aylin Bao Beatriz Bilal Björn Camila Chidi Chloé Clara Daichi "
    "Dalia Darya Dmitri Ebba Eduardo Efua Eleni Elias Emeka Farah Femi Fiona Freya Gabriela Giulia Hadiya Hana Hassan "
    "Hiro Ida Idris Imani Ines Ingrid Iris Ismail Ivo Jamal Jana Javier Jin Jonas José Julia Kaito Kamal Karin Keala "
    "Kofi Laila Lars Leila Leon Lin Lucía Luka Mai Malik Marek Marisol Mateo Mei Mila Miriam Nadia Naomi Nia Nikhil "
    "Nils Noor Nuria Olga Omar Pavel Petra Priya Quynh Rafael Ravi Renata Ronan Rosa Ruth Sadia Samir Sana Santiago "
    "Selin Sofia Soren Tadeo Tala Tariq Thandi Tomás Uma Valentina Vera Viktor Wanjiru Wei Xiomara Yara Yusuf Zara "
    "Zoë Zuri"
)

LAST = _words(
    "Abara Achterberg Adeyemi Aldana Almqvist Arslan Asante Baptiste Barros Bergström Bhatt Bianchi Boateng Brandt "
    "Caldera Castellan Chaudhry Chen Cissé Corrigan Dahl Delacroix Demir Diallo Dimitrov Dubois Eriksen Esparza Fadel "
    "Ferreira Figueroa Fofana Friis Fujita Gallo Ganesan Garrido Grönlund Guerra Haddad Halloran Hashimoto Hidalgo "
    "Hoang Holm Ibarra Ito Jansen Kaplan Karimi Kaur Keller Kimura Kovač Kruger Kumari Lindqvist Lobo Lund Madaki "
    "Malhotra Marchetti Marin Mbeki Meireles Mensah Molina Moreau Mwangi Nakata Navarro Ndiaye Nilsen Novák Obi "
    "Okafor Okonjo Olsen Ortega Osei Palmer Park Pereira Petrov Pham Quintero Rahimi Rao Reyes Rossi Sahin Salazar "
    "Sato Schäfer Serrano Sithole Soto Suzuki Tanaka Thorne Toivonen Torres Ueda Vance Varga Verma Villareal Wallin "
    "Weiss Wolff Xu Yamada Yilmaz Zhang Zielinski"
)

FIRM_STARTS = _words(
    "Amber Alder Bright Cedar Cobalt Copper Dune Ember Fern Flint Glass Harbor Hazel Indigo Juniper Kestrel Lantern "
    "Maple Marble North Opal Otter Pebble Quartz Raven River Saffron Silver Tidal Willow"
)
FIRM_ENDS = ("loom", "field", "works", "ridge", "line", "mint", "stack", "grove", "port", "wave", "forge", "bridge")
FIRM_FORMS = ("", "", "", " Labs", " Group", " & Co", " Health", " Logistics", " Foods", " Energy")

TITLES = (
    "Data Analyst",
    "Product Manager",
    "Operations Lead",
    "Marketing Specialist",
    "Software Engineer",
    "Customer Support Agent",
    "Finance Controller",
    "Sales Manager",
    "Project Coordinator",
    "Business Analyst",
    "VP Operations",
    "Chief Financial Officer",
    "Supply Planner",
    "Quality Engineer",
)
HEADS = ("Head of Data", "Head of Operations", "Head of Analytics", "Head of Product", "Head of Finance")


def ascii_word(text: str) -> str:
    """Fold a name to the letters of an e-mail address or an id."""
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "".join(letter for letter in folded.lower() if letter.isalnum())
