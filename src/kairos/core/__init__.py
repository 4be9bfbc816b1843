"""The shared vocabulary: types, protocols, spans, the answer scanner and seeds; every other room imports from here."""
