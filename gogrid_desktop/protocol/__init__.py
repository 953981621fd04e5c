"""Wire models shared by the node's client and the coordinator. Version 1, JSON over HTTPS."""
