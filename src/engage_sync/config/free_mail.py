"""Domains of e-mail providers for everybody: an address there says nothing about a company, so accounts are never
matched by them (semantics §2). Lower case, as `domain` is normalised.
"""

_DOMAINS = """
    gmail.com googlemail.com
    outlook.com outlook.de outlook.fr outlook.es outlook.it outlook.jp outlook.com.br outlook.co.id
    hotmail.com hotmail.co.uk hotmail.de hotmail.fr hotmail.es hotmail.it hotmail.com.br hotmail.nl hotmail.be
    live.com live.co.uk live.de live.fr live.nl live.it live.be live.ca live.com.au live.se live.dk live.no
    msn.com windowslive.com
    yahoo.com yahoo.co.uk yahoo.de yahoo.fr yahoo.es yahoo.it yahoo.ca yahoo.co.jp yahoo.co.in yahoo.in yahoo.com.br
    yahoo.com.au yahoo.com.mx yahoo.com.ar yahoo.com.ph yahoo.com.vn yahoo.co.id yahoo.ie yahoo.se yahoo.no yahoo.dk
    yahoo.gr yahoo.pl yahoo.ro ymail.com rocketmail.com
    icloud.com me.com mac.com
    aol.com aol.de aol.co.uk aol.fr aim.com
    gmx.com gmx.de gmx.net gmx.at gmx.ch gmx.org gmx.fr gmx.es gmx.co.uk gmx.us gmx.info gmx.eu
    web.de t-online.de freenet.de posteo.de mailbox.org arcor.de online.de
    proton.me proton.ch protonmail.com protonmail.ch pm.me
    mail.ru inbox.ru list.ru bk.ru internet.ru rambler.ru
    yandex.ru yandex.com yandex.ua yandex.by yandex.kz ya.ru
    qq.com vip.qq.com foxmail.com 163.com vip.163.com 126.com yeah.net sina.cn
    hanmail.net daum.net
    wanadoo.fr laposte.net sfr.fr neuf.fr
    libero.it virgilio.it alice.it tin.it tiscali.it
    btinternet.com talktalk.net virginmedia.com ntlworld.com blueyonder.co.uk
    comcast.net verizon.net att.net sbcglobal.net bellsouth.net cox.net charter.net earthlink.net juno.com
    sympatico.ca bigpond.com optusnet.com.au
    bol.com.br ig.com.br
    rediffmail.com seznam.cz wp.pl o2.pl onet.pl interia.pl abv.bg ukr.net
    bluewin.ch hispeed.ch telenet.be skynet.be ziggo.nl kpnmail.nl planet.nl xs4all.nl
    fastmail.fm tutanota.com tuta.io hushmail.com mail.com email.com
"""

FREE_MAIL = frozenset(_DOMAINS.split())
