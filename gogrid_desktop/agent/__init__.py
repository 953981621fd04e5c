"""The imperative shell on the volunteer's machine: senses, decides, leases, supervises. No Qt, no llama_cpp."""
