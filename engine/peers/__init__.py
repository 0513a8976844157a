"""Other engines, run beside Cobalt on the same rows: for benchmarks and fidelity tests. Exporters
share the conversion of rows.

Nothing here is imported by `import engine`; each module imports its engine when it is called.
"""
