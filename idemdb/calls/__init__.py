"""Build calls of idemdb's SQL functions: pure, no connection needed."""
