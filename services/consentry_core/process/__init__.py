"""What a program needs of its machine: settings, files, folders, certificates, logs, start and end.

In: environment variables, flags and paths that somebody typed. Out: checked settings and open folders, or a `SettingError` that
names the variable or the file. Imports `values` only.
"""
