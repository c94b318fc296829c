"""The API's reference as a page: /docs. Everything it loads comes from here."""
