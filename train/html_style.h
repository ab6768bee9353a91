// How the report looks.
#pragma once

namespace engine {

// For light and dark, from 420 pixels of width on. Blue and orange (Okabe and Ito 2008) are told apart by people who do
// not see red and green alike; nothing is said by colour alone.
inline constexpr const char* kReportStyle = R"css(
:root{color-scheme:light dark;--page:#f4f5f7;--card:#fff;--ink:#1a1f26;--soft:#5a6470;--rule:#e1e5ea;--s0:#0072b2;
--s1:#d55e00;
--s2:#009e73;--s3:#8e5ea2;--right:0,114,178;--wrong:213,94,0;--on:#fff;--tint:#eef2f6}
@media (prefers-color-scheme:dark){:root{--page:#0f1317;--card:#181d23;--ink:#e7eaee;--soft:#9ba6b2;--rule:#2b333c;
--s0:#56b4e9;
--s1:#e69f00;--s2:#3ac79b;--s3:#c79be0;--right:86,180,233;--wrong:230,159,0;--on:#0b0f13;--tint:#222a32}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:1320px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:25px;line-height:1.25;margin:0;overflow-wrap:anywhere}
h2{font-size:18px;margin:38px 0 12px}
p{margin:0 0 10px;max-width:82ch}
.soft{color:var(--soft)}
.sub{color:var(--soft);margin:4px 0 0;overflow-wrap:anywhere}
.pill{display:inline-block;border-radius:99px;padding:2px 11px;margin-left:10px;font-size:13px;font-weight:600;
vertical-align:4px;
background:var(--tint);color:var(--soft)}
.pill.bad{background:rgba(var(--wrong),.16);color:var(--s1)}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:16px 0 0;font-size:14px}
a{color:var(--s0);text-decoration:none}a:hover{text-decoration:underline}
.card{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:16px;margin:0}
.verdict{display:grid;grid-template-columns:minmax(260px,1.3fr) 3fr;gap:14px;margin-top:20px}
.headline .figure{font-size:46px;line-height:1.1;font-weight:700;color:var(--s0);margin:2px 0 6px}
.headline p{margin:0;color:var(--soft);font-size:14px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(155px,1fr));gap:14px}
.tile{padding:12px 16px}
.tile b{display:block;font-size:20px;white-space:nowrap;line-height:1.3;font-weight:650}
.tile span,.tile small{display:block;color:var(--soft);font-size:13px}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,360px),1fr));gap:14px}
.chart{padding:12px 12px 6px}
figcaption{font-size:14px;color:var(--soft)}figcaption b{color:var(--ink);font-weight:600}
.legend{float:right}
.key{margin-left:12px;white-space:nowrap}.key::before{content:"";display:inline-block;width:14px;height:3px;
border-radius:2px;
margin:0 5px 4px 0;background:currentColor;vertical-align:middle}
.key.s0::before{background:var(--s0)}.key.s1::before{background:var(--s1)}.key.s2::before{background:var(--s2)}
.key.s3::before{background:var(--s3)}
svg{display:block;width:100%;height:auto;margin-top:4px}
svg text{font-size:11.5px;fill:var(--soft)}
.end{text-anchor:end}.middle{text-anchor:middle}.start{text-anchor:start}
.grid{stroke:var(--rule);stroke-width:1}
.best{stroke:var(--soft);stroke-width:1.2;stroke-dasharray:4 3}
.line{fill:none;stroke-width:1.9;stroke-linejoin:round;stroke-linecap:round}
path.s0,circle.s0{stroke:var(--s0)}path.s1,circle.s1{stroke:var(--s1)}path.s2,circle.s2{stroke:var(--s2)}
path.s3,circle.s3{stroke:var(--s3)}
.dot{stroke-width:0}circle.s0{fill:var(--s0)}circle.s1{fill:var(--s1)}circle.s2{fill:var(--s2)}circle.s3{fill:var(--s3)}
rect.bar{fill:var(--s0)}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:14px}
th{font-weight:600;text-align:left}
td.n,th.n{text-align:right;white-space:nowrap}
.rows th,.rows td{padding:5px 12px;border-bottom:1px solid var(--rule)}
.rows thead th{color:var(--soft);font-size:13px}
.rows tr:last-child>*{border-bottom:0}
.rows tbody th{font-weight:400}
.meter{display:inline-block;width:72px;height:7px;border-radius:4px;background:var(--tint);margin-right:9px;
vertical-align:middle;
overflow:hidden}
.value{display:inline-block;min-width:58px}
.meter i{display:block;height:100%;background:var(--s0)}
.matrix td{min-width:38px;height:34px;text-align:center;border:2px solid var(--card);border-radius:4px;
background:var(--tint);font-size:13px}
.matrix.many td{min-width:25px;height:25px;font-size:11px;border-width:1px}
.matrix td.o{color:var(--soft)}
.matrix td.hi{color:var(--on);font-weight:600}
.matrix tbody th{padding:0 10px 0 0;text-align:right;font-weight:400;white-space:nowrap;position:sticky;left:0;
background:var(--card)}
.matrix thead th{font-weight:400;vertical-align:bottom;padding:0 0 6px}
.matrix thead th span{writing-mode:vertical-rl;transform:rotate(180deg);white-space:nowrap;display:inline-block}
.matrix thead th.corner{font-size:12px;color:var(--soft);text-align:right;padding-right:10px;position:sticky;left:0;
background:var(--card)}
.cards{display:flex;flex-wrap:wrap;gap:14px;align-items:flex-start}
.cards>*{min-width:0;max-width:100%;flex:1 1 auto}
.cards table.rows{width:100%}
.cards .small{flex:1 1 280px;max-width:440px}
.films{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,560px),1fr));gap:14px}
.film{padding:12px 14px}
.film img{display:block;width:min(100%,var(--w));max-width:none;border-radius:4px;background:var(--tint)}
.film img+img{margin-top:4px}
.film .says{display:flex;flex-wrap:wrap;gap:2px 16px;margin-bottom:7px;color:var(--ink);font-size:14px}
.film .name{color:var(--soft);overflow-wrap:anywhere;font-size:13px;margin-top:5px}
.no{color:var(--s1);font-weight:600}.yes{color:var(--s0);font-weight:600}
dl{display:grid;grid-template-columns:minmax(110px,max-content) 1fr;gap:5px 18px;margin:0;font-size:14px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));gap:14px;align-items:start}
.two>*{min-width:0}
h3{font-size:14px;margin:0 0 8px}
pre,code{font:13px/1.5 ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
details summary{cursor:pointer;font-weight:600}
details>*+*{margin-top:12px}
.settings{columns:3 300px;column-gap:34px}
.settings section{break-inside:avoid;margin-bottom:14px}
footer{margin-top:34px;color:var(--soft);font-size:13px}
@media (max-width:900px){.verdict{grid-template-columns:minmax(0,1fr)}}
@media (max-width:600px){main{padding:18px 12px 40px}.card{padding:12px}.chart{padding:10px 8px 4px}
.film .strip{overflow-x:auto}
.film img{width:min(640px,var(--w))}.tiles{grid-template-columns:repeat(2,minmax(0,1fr));gap:10px}
.rows th,.rows td{padding:5px 6px}
.meter{display:none}h1{font-size:21px}.pill{margin-left:6px;vertical-align:2px}}
@media print{body{background:#fff}.card{break-inside:avoid}}
)css";

}  // namespace engine
