"""What the Workers platform offers, behind our ports. `js` and `pyodide` exist only there: import late."""
