"""Training. Simulated and real sounds come in; weights of networks go out. There is one recipe per network."""
