"""For whoever teaches with the course: grading (`nbgrader`), a class at a glance (`rollup`), notes a lesson (`notes`).

`classroom/README.md` is the teacher's page. Nothing here is needed to learn from a lesson.
"""
