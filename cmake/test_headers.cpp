// Exists so that the headers of GoogleTest are compiled once for all tests.
int main() { return 0; }
