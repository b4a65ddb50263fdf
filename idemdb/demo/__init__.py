"""The demo: "Pay" is clicked three times while workers die and connections break, and charges once."""
