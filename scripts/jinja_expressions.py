#!/usr/bin/env python3
"""What jinja2 makes of a table of expressions, in the environment that transformers gives chat templates.

    python scripts/jinja_expressions.py > tests/fixtures/jinja.json

One line each: the template, and what it writes, or null where jinja2 raises. The test of rlhf/src/data/template/jinja
reads the file. Needs jinja2 and transformers.
"""

import json

from transformers.utils.chat_template_utils import _compile_jinja_template

CONTEXT = {
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <b> & 'x'"},
                 {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function":
                     {"name": "f", "arguments": {"b": 1, "a": [1.5, True, None, "é"]}}}]},
                 {"role": "tool", "content": "[1, 2]"}],
    "tools": None, "n": 7, "neg": -7, "x": 2.5, "big": 12345678901234567890, "tiny": 1e-7, "huge": 1e22, "text": "Hello, World",
    "words": "  two  words\t\nand more ", "empty": "", "list": [3, 1, 2], "strings": ["b", "A", "c"], "dict": {"b": 1, "a": 2},
    "nested": {"a": {"b": [10, 20, {"c": "deep"}]}}, "yes": True, "no": False, "none": None, "lines": "a\nb\r\nc\rd\n",
    "unicode": "Grüße ÀÉ ß 日本 🙂", "rows": [{"g": "x", "v": 1}, {"g": "y", "v": 2}, {"g": "x", "v": 3}], "nan": 0.1,
}

VALUES = ["none", "yes", "n", "x", "text", "list", "dict", "missing", "(1, 2)", "dict.items()", "dict.keys()", "range(3)", "[]", "''"]
TESTS = ["none", "sequence", "mapping", "iterable", "string", "number", "integer", "float", "boolean", "callable", "defined",
         "undefined", "true", "false", "sameas none", "sameas(true)", "in [7, 'Hello, World']", "eq 7", "ne none", "not none"]
EXPRESSIONS = r"""
text.split(', ')|text.split(', ', 1)[-1]|words.split()|words.split(None, 1)|words.rsplit(None, 1)|words.rsplit(' ', 1)|'a,b,,c'.split(',')|'a,b,,c'.rsplit(',', 2)
words.strip()|words.lstrip()|words.rstrip()|'xxaxx'.strip('x')|'xyaxy'.lstrip('xy')|'abc'.strip('')|text.startswith('Hell')|text.startswith(('x', 'H'))|text.startswith('llo', 2)|text.endswith('ld')|text.endswith(('x',))
text.replace('l', 'L')|text.replace('l', 'L', 1)|'aaa'.replace('', '-')|text.upper()|text.lower()|text.title()|"they're bill's".title()|text.swapcase()|'hELLO wORLD'.capitalize()|unicode.upper()|unicode.lower()|unicode.title()|unicode.capitalize()
text.find('o')|text.find('o', 5)|text.rfind('o')|text.find('zz')|text.index('W')|text.index('zz')|text.rindex('o')|text.count('l')|text.count('')|unicode.find('日')|text.find('o', -5)
', '.join(strings)|''.join([])|', '.join(list)|'-'.join('abc')|'-'.join(dict)|'{} and {}'.format(1, 'a')|'{0}{1}{0}'.format('a', 'b')|'{a:>5}|{b:05.2f}'.format(a='x', b=2.5)|'{:,}'.format(1234567)|'{!r}'.format('a')|'{:^7}'.format('ab')|'{a[k]}'.format(a={'k': 3})|'{{}}'.format()
'ab'.ljust(5) ~ '|'|'ab'.rjust(5, '*')|'ab'.center(7, '-')|'abc'.center(6)|'42'.zfill(5)|'-42'.zfill(5)|'+1'.zfill(4)|text.partition(', ')|text.partition('zz')|text.rpartition('o')|'prefix-x'.removeprefix('prefix-')|'x.txt'.removesuffix('.txt')|lines.splitlines()|lines.splitlines(true)|'a\tb'.expandtabs(4)
'12'.isdigit()|'1a'.isdigit()|''.isdigit()|'²'.isdigit()|'²'.isdecimal()|'½'.isnumeric()|'ab'.isalpha()|'a1'.isalnum()|' \n'.isspace()|'aB'.islower()|'ab1'.islower()|'AB'.isupper()|'1'.isupper()|'Ab Cd'.istitle()|'a'.isascii()|'é'.isascii()|'ab_1'.isidentifier()|'ß'.casefold()
dict.get('a')|dict.get('z')|dict.get('z', 5)|dict.items()|dict.keys()|dict.values()|dict.items() <list>|dict['b']|dict.b|dict.z|dict['z'] is defined|dict.items is defined|dict.pop('a')|dict.update({'c': 1})|dict.clear()|dict.copy()|list.append(4)|list.pop()|list.index(2)|list.index(9)|list.count(1)|list.copy()|messages[0].items()|nested.a.b[2].c|nested['a']['b'][-1]['c']|nested.a.b.0
list[0]|list[-1]|list[5]|list[5] is defined|list[1:]|list[:-1]|list[::-1]|list[::2]|list[5:]|list[-2:]|text[0]|text[-1]|text[::-1]|text[1:4]|text[-3:]|text[4:1:-1]|unicode[9]|unicode[-1]|messages[1:][0].content|(1, 2, 3)[1:]|text[99]|list['0']|list[yes]|range(10)[::3]|range(10)[2:5]
n // 2|neg // 2|n // -2|neg // -2|n % 3|neg % 3|n % -3|neg % -3|n / 2|n / 7|-n|+n|- -n|n ** 2|2 ** -1|2 ** 0.5|-2 ** 2|x // 1|-x // 1|x % 1|-x % 1|n * 1.0|1 / 3|1e3|1.0|1e16|123456789012345680.0|1e-5|0.0001|1.5e300|huge|tiny|big|big + 1|big * 10|0.1 + 0.2|1_000|0x1F|0b101|0o17|n / 0|n % 0|1 - 1.0|7.0 // 2|-7.5 % 2|true + true|yes * 3
'a' * 3|3 * 'ab'|[1] * 3|[1] + [2]|(1,) + (2,)|'a' + 'b'|'a' + 1|1 + 'a'|[1] + 'a'|none + 'a'|missing + 'a'|'a' + missing|text ~ 1 ~ none ~ true ~ [1] ~ missing|1 ~ 2|'a' 'b' "c"|dict + dict
1 < 2|1 < 2 < 3|3 > 2 > 2|1 == 1.0|1 == true|'1' == 1|'a' < 'b'|'a' < 1|none < 1|[1, 2] < [1, 3]|(1, 2) == [1, 2]|none == false|0 == false|'' == false|missing == none|missing == missing2|dict == {'a': 2, 'b': 1}|1 in list|4 not in list|'ell' in text|1 in text|'a' in dict|none in [none]|'x' in missing|1 in none|not 1|not 'a' and 1|1 and 'a'|0 or 'b'|none or missing or 'c'|1 <= 1 >= 1|1 != 2 == true
'yes' if yes else 'no'|'a' if no|('a' if no) is defined|1 if none else 2 if no else 3|('a' if no) ~ 'b'|yes and 'x' or 'y'|(no and 'x') or 'y'
none|true|false|True|False|None|[none, true, 'a', 1.0, "it's", 'q"', 'both\'"']|{'a': none, 'b': [1, 'x']}|(1,)|()|[]|{}|(1, 2)|[[1], (2, 3)]|['é\n\t\\', '日本', '\x00', '\x7f']|{1: 2, none: 3, true: 4}|{'a': 1, 'a': 2}|[1, 2,]|{'a': {'b': {}}}|list|messages[2].tool_calls[0]
'\n'|'a\\nb'|'\x41\u00e9\U0001F642'|'\101'|'\q'|"a\"b"|'it\'s'|'tab\there'|'é\\é'
list <length>|text <length>|dict <length>|missing <length>|none <length>|n <length>|unicode <count>|range(3) <length>|list <map('string')> <length>
list <first>|list <last>|[] <first>|[] <last> is defined|text <first>|dict <first>|dict.items() <first>|dict.values() <last>|list <select> <first>
list <sort>|list <sort(reverse=true)>|strings <sort>|strings <sort(case_sensitive=true)>|rows <sort(attribute='v', reverse=true)> <map(attribute='v')> <list>|rows <sort(attribute='g,v')> <map(attribute='v')> <list>|[1, 'a'] <sort>|dict <sort>|dict <dictsort>|dict <dictsort(by='value')>|dict <dictsort(reverse=true)>|{'B': 1, 'a': 2} <dictsort>|{'B': 1, 'a': 2} <dictsort(true)>
[1, 2, 1] <unique> <list>|['a', 'A', 'b'] <unique> <list>|['a', 'A'] <unique(true)> <list>|list <min>|list <max>|strings <min>|strings <max>|[] <min> is defined|rows <max(attribute='v')>|list <sum>|rows <sum(attribute='v')>|[[1], [2]] <sum(start=[])>|[] <sum>
list <join>|list <join(', ')>|rows <join('-', attribute='g')>|text <join('.')>|[none, true, 1.0] <join('|')>|list <reverse> <list>|text <reverse>|list <reverse>|list <list>|text <list>|dict <list>|none <list>|missing <list>|n <list>
rows <selectattr('g', 'equalto', 'x')> <list>|rows <selectattr('g', 'eq', 'x')> <map(attribute='v')> <list>|rows <rejectattr('g', '==', 'x')> <list>|messages <selectattr('tool_calls')> <list> <length>|messages <selectattr('tool_calls', 'defined')> <map(attribute='role')> <list>|messages <selectattr('content', 'none')> <list> <length>|list <select('odd')> <list>|list <reject('gt', 1)> <list>|list <select('in', [1, 2])> <list>|[0, 1, none, ''] <select> <list>|messages <map(attribute='role')> <join(',')>|messages <map(attribute='name', default='-')> <list>|strings <map('upper')> <list>|strings <map('replace', 'b', 'z')> <list>|list <map('string')> <join>|rows <map(attribute='v')>|rows <selectattr('g', 'nosuch')> <list>|nested <map('upper')> <list>|[nested] <map(attribute='a.b.2.c')> <list>|(messages <selectattr('role', 'equalto', 'nobody')>) and 'truthy'
rows <groupby('g')>|rows <groupby('g')> <map('first')> <list>|rows <groupby('z', default='?')> <list> <length>|list <batch(2)> <list>|list <batch(2, 'x')> <list>|range(7) <slice(3)> <list>|range(7) <slice(3, 'x')> <list>|range(6) <slice(3, 'x')> <list>|dict <items> <list>|missing <items> <list>|list <items> <list>
'3.7' <int>|'abc' <int>|'abc' <int(5)>|' 42 ' <int>|'0x1f' <int(base=16)>|'1_000' <int>|3.9 <int>|-3.9 <int>|none <int>|true <int>|'1e3' <int>|missing <int>|'3.7' <float>|'abc' <float>|'abc' <float(1.5)>|n <float>|'inf' <float>|'nan' <float>|none <float>|2.5 <round>|3.5 <round>|2.567 <round(2)>|2.567 <round(1, 'floor')>|2.1 <round(method='ceil')>|n <round>|12.5 <round(-1)>|neg <abs>|-2.5 <abs>|text <abs>|12345 <string>|none <string>|1.0 <string>|x <string> <length>|missing <string>
words <trim>|'xxaxx' <trim('x')>|n <trim>|text <upper>|text <lower>|n <upper>|none <lower>|text <capitalize>|"they're bill's o-k (a)" <title>|unicode <title>|text <replace('l', 'L')>|text <replace('l', 'L', 1)>|n <replace('7', '8')>|words <wordcount>|text <center(20)> ~ '|'|'a\nb\n\nc' <indent>|'a\nb' <indent(2, true)>|'a\n\nb' <indent(2, blank=true)>|'a\nb' <indent('> ')>|'foo bar baz qux' <truncate(9)>|'foo bar baz qux' <truncate(9, true)>|'foo bar baz qux' <truncate(11)>|'foo bar baz qux' <truncate(9, leeway=0, end='…')>|'%s-%s' <format(1, 'a')>|'%(a)s' <format(a=1)>|'<b>x</b> &amp; y' <striptags>
'<&>"\'' <e>|'<' <escape>|'<' <safe>|['<'] <e>|'a b&ü/' <urlencode>|{'a b': 1, 'c': 'ü'} <urlencode>|{'class': 'a', 'x': none, 'y': 1} <xmlattr>|list <pprint>|text <pprint>|text <nosuch>|text is nosuch
missing <default('d')>|none <default('d')>|none <default('d', true)>|'' <d('e', boolean=true)>|missing.a <default('d')>|missing.a.b|dict.z.y|missing|missing is defined|missing <default> ~ '|'|dict.z <default(7)>|list <attr('count') is defined>|dict <attr('a')>|dict <attr('items')> is callable
dict <tojson>|messages[2].tool_calls[0].function.arguments <tojson>|messages[2].tool_calls <tojson(indent=2)>|messages[1].content <tojson>|unicode <tojson>|unicode <tojson(ensure_ascii=true)>|[1, 2] <tojson(separators=(',', ':'))>|dict <tojson(sort_keys=true)>|dict <tojson(indent=4, sort_keys=true)>|[] <tojson(indent=2)>|{} <tojson>|none <tojson>|1.0 <tojson>|huge <tojson>|'\x00\x1f\x7f\u2028"\\/' <tojson>|(1, 2) <tojson>|{1: 2, none: 3, true: 4, 1.5: 6} <tojson>|missing <tojson>|dict.keys() <tojson>|dict <tojson(indent='\t')>|nested <tojson(indent=2, separators=(',', ': '))>|range(2) <tojson>|big <tojson>|[nan, none] <tojson>|dict <tojson(nosuch=1)>
'%s' % 'a'|'%s %s' % ('a', 1)|'%d' % 3.9|'%5d' % 42 ~ '|'|'%-5d' % 42 ~ '|'|'%05d' % -42|'%+d' % 5|'% d' % 5|'%.2f' % 3.14159|'%8.3f' % x|'%e' % 12345.678|'%g' % 0.00001234|'%g' % 123456789.0|'%g' % 100.0|'%x' % 255|'%X' % 255|'%#x' % 255|'%o' % 8|'%c' % 'a'|'%c' % 97|'%%'|'%%' % ()|'%r' % 'a'|'%(a)s-%(b)d' % {'a': 1, 'b': 2}|'%s' % [1, 'a']|'%s' % none|'%s' % (1, 2)|'%d' % 'a'|'%s %s' % 'a'|'%10s' % 'ab' ~ '|'|'%-10s' % 'ab' ~ '|'|'%.1s' % 'ab'|'%s' % dict|'%i' % true|'%f' % 1
7 is odd|7 is even|neg is odd|9 is divisibleby 3|9 is divisibleby(0)|'a' is lower|'A' is upper|'1' is lower|x is odd|'a' is in ['a']|5 is gt 3|5 is lt(3)|5 is ge 5|5 is le 4|5 is not gt 3|'upper' is filter|'none' is test|'zz' is filter|1 is sameas 1.0|none is sameas none|list is sameas list|dict.get is callable|range is callable|n is defined and n > 3|not missing is defined|n is number and n is integer|n is none or n is defined|n is not string|1 is escaped
range(3) <list>|range(1, 7, 2) <list>|range(5, 0, -2) <list>|range(0) <list>|range(3)|range(1, 7, 2)|range(100001)|range(1, 2, 0)|range('a')|dict(a=1, b=2)|dict([('a', 1)])|dict({'x': 1}, y=2)|namespace(a=1).a|namespace({'a': 2}).a|namespace(a=1).b is defined|namespace(_a=1)|raise_exception('no')|foo()|text()|text.__class__|''.__class__.__mro__|list.__len__|1.5.is_integer()|'a'.nosuch|'a'.nosuch()|none.a|none.a is defined|n.a|n['a']|n[0]
{'a':1}.a|{'a':{'b':2}}['a'].b|[{'a': 1}][0]['a']|('a', 'b')[0]|"a" "b"|(n)|((n))|n if n|[n for n]|-n <abs>|-1 <abs>|(-1) <abs>|2 <string> * 3|'a' <upper> ~ 'b' <upper>|not true is false|1 + 2 * 3 ** 2|(1 + 2) * 3|10 - 2 - 3|2 ** 3 ** 2|1 ~ 2 + 3|'a' ~ 'b' * 2|10 // 3 * 3|n is eq 7 and x is eq 2.5|a.b.c|'a' if missing else 'b'
""".strip().replace(" | ", "\x00")

BLOCKS = [
    "{% for i in list %}{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for i in none %}x{% endfor %}", "{% for i in n %}x{% endfor %}", "{% for i in missing %}x{% else %}none{% endfor %}",
    "{% for i in [] %}x{% else %}empty{% endfor %}", "{% for c in 'abc' %}{{ c }}.{% endfor %}", "{% for k in dict %}{{ k }}{% endfor %}",
    "{% for k, v in dict.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in list %}{% endfor %}", "{% for (a, b) in [(1, 2)] %}{{ a }}{{ b }}{% endfor %}",
    "{% for a, b in ['xy'] %}{{ a }}{{ b }}{% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for i in list if i > 1 %}{{ loop.index }}/{{ loop.length }}:{{ i }} {% endfor %}", "{% for i in list if i > 9 %}x{% else %}none{% endfor %}",
    "{% for i in list %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for i in list %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}", "{% for i in list %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}",
    "{% for i in [1, 1, 2] %}{{ loop.changed(i) }} {% endfor %}", "{% for i in range(5) %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for i in list %}{% for j in list %}{{ loop.index }}{{ loop.depth }}{% endfor %}{% endfor %}",
    "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in range(3) %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{% else %}e{% endfor %}", "{% break %}",
    "{% for i in [1, [2, [3]]] recursive %}{% if i is sequence %}({{ loop(i) }}){% else %}{{ i }}{% endif %}{% endfor %}",
    "{% for i in list %}{% set y = i %}{% endfor %}{{ y }}", "{% set y = 0 %}{% for i in list %}{% set y = i %}{{ y }}{% endfor %}{{ y }}",
    "{% for i in [1, 2] %}{{ z }}{% set z = i %}{{ z }}{% endfor %}", "{% set ns = namespace(y=0) %}{% for i in list %}{% set ns.y = ns.y + i %}{% endfor %}{{ ns.y }}",
    "{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}", "{% set dict.a = 1 %}", "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{% if 0 %}a{% elif '' %}b{% elif [] %}c{% elif {} %}d{% elif none %}e{% elif missing %}f{% else %}g{% endif %}", "{% if x is defined and x > 2 %}a{% endif %}",
    "{% if true %}{% set q = 1 %}{% endif %}{{ q }}", "{% with a=1, b=2 %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with a=n %}{% set n = 3 %}{{ n }}{{ a }}{% endwith %}{{ n }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}", "{% set a, b = 'xy' %}{{ b }}", "{% set a, b = [1] %}", "{% set a %}x{{ n }}{% endset %}{{ a }}{{ a is string }}",
    "{% set a | upper %}x{{ n }}{% endset %}{{ a }}", "{% set a | replace('x', 'y') | upper %}x{% endset %}{{ a }}", "{% filter upper %}a{{ text }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aXa{% endfilter %}",
    "{% macro m(a, b=2, c='z') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, c=3) }}|{{ m(b=5, a=4) }}|{{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(a) %}{{ a }}{{ varargs }}{% endmacro %}{{ m(1, 2, 3) }}",
    "{% macro m(a=n, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m() }}{{ m(1) }}", "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}hi{{ n }}{% endcall %}",
    "{% macro m() %}{% for i in [1, 2] %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(x) m() %}<{{ x }}>{% endcall %}", "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}",
    "{% macro m() %}x{% endmacro %}{% call m() %}hi{% endcall %}", "{% macro m() %}{{ late }}{% endmacro %}{% set late = 5 %}{{ m() }}", "{% for i in [1] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}{{ m(none) }}", "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "{% macro m(a, b) %}{% endmacro %}{{ m.name }}{{ m.arguments }}",
    "{% macro m() %} a {% endmacro %}{{ m() | trim }}{{ m() is string }}", "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(*[1]) }}{{ m(**{'x': 2}) }}", "{% macro m(x) %}{% set x = 5 %}{{ x }}{% endmacro %}{{ m(1) }}",
    "{% macro m() %}{{ loop.index }}{% endmacro %}{% for i in [1] %}{{ m() }}{% endfor %}", "{{ m() }}{% macro m() %}x{% endmacro %}",
    "  {% if true %}\n  a\n  {% endif %}\nb\n", "a\n  {%- if true -%}  b  {%- endif -%}\n c", "a {{- n -}} b", "a {%+ if true %} b{% endif +%}\nc", "x\n\n{# c #}\n  {# d #}\ny", "x {#- c -#} y", "{{ n }}\n{{ n }}\n", "a\r\nb\rc\n", "{% if true %}\r\nx{% endif %}",
    "  {{ n }}  \n", "\n{% if true %}\n\nx\n\n{% endif %}\n\n", "{% raw %}{{ x }}{% if %}{% endraw %}", "a {%- raw -%} {{ b }} {%- endraw %} c", "{% raw %}\n x\n {% endraw %}\n y", "\t{% if true %}x{% endif %}", "a\n\t {#- c #}\n b", "{%- set a = 1 -%}\n\n  {{ a }}",
    "{% generation %}a{% endgeneration %}b", "x\n  {% generation %}\n  a\n  {% endgeneration %}\ny", "{% for m in messages %}{% if m.role == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}",
    "{% set loop_messages = messages[1:] %}{{ loop_messages | length }}", "{{ messages[0]['role'] == 'system' and messages[0]['content'] is string }}", "{% include 'a' %}", "{% import 'a' as b %}", "{% extends 'a' %}", "{% nosuch %}", "{{ 1", "{% if %}", "{% for x in %}{% endfor %}", "{{ a b }}", "{% endif %}", "{% if true %}", "{{ }}",
    "{{ {'a': 1}}}", "{{ '}}' }}", "{{ '%}' }}{% if '%}' %}y{% endif %}", "{% set true = 1 %}", "{{ 'a\nb' }}", "{{ n -}}   x", "{{ n }} {{- 1 }}", "{% print n, 1 %}", "{{ 1, 2 }}", "{{ n | default(3) | string | length }}", "{% for x in list | sort %}{{ x }}{% endfor %}", "{% for x in (1, 2), (3, 4) %}{{ x }}{% endfor %}", "{% for x in 1, 2 %}{{ x }}{% endfor %}",
    "{% if messages | selectattr('role', 'equalto', 'nobody') %}always{% endif %}", "{% set g = list | map('string') %}{{ g | join }}{{ g | join }}", "{% set g = list | select %}{{ g | first }}{{ g | list }}", "{% if tools is iterable and tools | length > 0 %}t{% else %}no{% endif %}", "{% if messages[2].content is none %}none{% endif %}{{ messages[2].content }}", "{{ messages[2].content + 'a' }}", "{{ messages[0].content is sequence }}",
    "{{ '{:.1f}'.format(x) }}{{ '{:>4d}|{:<4}|{:+}'.format(3, 4, 5) }}{{ '{:x}'.format(255) }}{{ '{:e}'.format(1234.5) }}{{ '{:%}'.format(0.5) }}{{ '{:10}|'.format('a') }}{{ '{:10}|'.format(1) }}", "{{ '{:{w}}|'.format('a', w=4) }}", "{{ '{'.format() }}", "{{ '{}'.format() }}",
]


def cases():
    yield from (f"{{{{ {value} is {test} }}}}" for value in VALUES for test in TESTS)
    for line in EXPRESSIONS.split("\n"):
        parts, depth, now, quote = [], 0, "", ""
        for at, c in enumerate(line):  # a bar within brackets or quotes is the expression's own
            if quote:
                quote = "" if c == quote and line[at - 1] != "\\" else quote
            elif c in "'\"":
                quote = c
            depth += (c in "([{") - (c in ")]}") if not quote else 0
            if c == "|" and not quote and depth == 0:
                parts.append(now)
                now = ""
            else:
                now += c
        for part in [*parts, now]:
            yield "{{ " + filtered(part.strip()) + " }}"
    yield from BLOCKS


def filtered(text):
    """`<name(…)>` behind a blank is a filter."""
    out, rest = "", text
    while (at := rest.find(" <")) >= 0 and rest[at + 2 : at + 3].isalpha():
        end, depth, quote = at + 2, 0, ""
        while end < len(rest) and (rest[end] != ">" or depth or quote):
            c = rest[end]
            quote = ("" if c == quote else quote) if quote else (c if c in "'\"" else "")
            depth += ((c in "([{") - (c in ")]}")) if not quote else 0
            end += 1
        out += rest[:at] + " | " + rest[at + 2 : end]
        rest = rest[end + 1 :]
    return out + rest


def main():
    results = []
    for template in dict.fromkeys(cases()):
        try:
            written = _compile_jinja_template(template).render(**CONTEXT)
        except Exception:
            written = None
        if written is None or " at 0x" not in written:
            results.append([template, written])
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in results)
    print('{"context": ' + json.dumps(CONTEXT, ensure_ascii=False) + ',\n"cases": [\n' + rows + "\n]}")


main()
